/** The most of somebody's text that a message repeats, in characters. */
const MAX_QUOTED = 80

/** Text for a message: in quotes, cut, with control characters escaped, so that it cannot forge a line of a log. */
export function quoted(text: string): string {
  return JSON.stringify(text.length <= MAX_QUOTED ? text : `${text.slice(0, MAX_QUOTED - 1)}…`)
}
