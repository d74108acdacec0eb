/** True only when both are the same type; `any` equals nothing but itself. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** Fails to compile unless its argument is true: `expectType<Equal<A, B>>()`. */
export function expectType<_T extends true>(): void {
  // The compiler does the work.
}
