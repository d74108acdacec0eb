// Loaded before the command: collects garbage when it is told to, so that what a rest still holds is not garbage.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
setFlagsFromString('--no-expose-gc')

process.on('SIGUSR2', () => {
  collect()
  collect()
})
