/** Express 4 beside Express 5, with the types of the latter: what is used of both is the same. */
declare module 'express4' {
  export { default } from 'express'
}
