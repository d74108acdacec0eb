import { NextResponse } from 'next/server'

export function proxy(request) {
  if (request.nextUrl.pathname === '/rewritten') return NextResponse.rewrite(new URL('/page/rewritten', request.url))
  const answer = NextResponse.next()
  answer.headers.set('x-proxy', 'seen')
  return answer
}

export const config = { matcher: ['/rewritten', '/page/:name*'] }
