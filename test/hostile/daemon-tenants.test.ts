import { testPrograms } from './programs-at-work.ts'

testPrograms('daemon')
