import { systemClock } from '../../src/clock.ts'
import { Daemon } from '../../src/context/daemon.ts'
import { Door } from '../../src/context/door.ts'
import { LiveContext } from '../../src/context/live-context.ts'
import { appFile, specOf } from './start.ts'
import type { TestContext } from 'node:test'
import type { DaemonCommand } from '../../src/context/daemon-command.ts'
import type { DaemonSettings } from '../../src/context/daemon.ts'
import type { Overrides } from './start.ts'

export const COMMAND: DaemonCommand = {
  uid: undefined,
  gid: undefined,
  umask: undefined,
  env: {},
  execArgv: [],
  permission: undefined,
  workingDirectory: undefined,
}

/** A daemon of its own, killed after the test. */
export function openDaemon(
  t: TestContext, command: Partial<DaemonCommand> = {}, settings: Partial<DaemonSettings> = {},
): Daemon {
  const door = new Door(systemClock)
  const daemon = new Daemon({
    processGroup: 'tests', command: { ...COMMAND, ...command }, clock: systemClock, door, nice: 0,
    startupTimeout: 10_000, deadlockTimeout: 0, terminateTimeout: 2000, ...settings,
  })
  // Nothing of a daemon holds the process, so a test that only waits for one has to.
  const alive = setInterval(() => {}, 1000)
  t.after(async () => {
    daemon.kill('admin')
    await daemon.ended
    door.close()
    clearInterval(alive)
  })
  return daemon
}

let labels = 0

/** The application in `source`, in a context of that daemon; `label: ''` puts it on the main thread. */
export function startIn(t: TestContext, daemon: Daemon, source: string, overrides: Overrides = {}): LiveContext {
  const spec = specOf(appFile(t, source, overrides.name), {
    label: `in-daemon-${++labels}.test`, processGroup: 'tests', ...overrides,
  })
  return new LiveContext(spec, systemClock, (listener) => daemon.open(spec, listener))
}
