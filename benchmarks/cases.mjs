// Every case by its name: { about, run(settings) }. A run resolves with { how, tables, notes, figures }, which is all that
// a report needs to know of it.
import { churn } from './cases/churn.mjs'
import { coldStart } from './cases/cold-start.mjs'
import { density } from './cases/density.mjs'
import { descriptors } from './cases/descriptors.mjs'
import { lookup } from './cases/lookup.mjs'
import { noisyNeighbour } from './cases/noisy-neighbour.mjs'
import { policy } from './cases/policy.mjs'
import { requestCases } from './cases/requests.mjs'
import { scale } from './cases/scale.mjs'
import { threads } from './cases/threads.mjs'

export const cases = {
  ...requestCases, scale, threads, 'noisy-neighbour': noisyNeighbour, 'cold-start': coldStart, density, lookup, policy, churn, descriptors,
}

/** Take longer than all others together: only for who names them. */
export const NAMED_ONLY = ['churn', 'descriptors']
