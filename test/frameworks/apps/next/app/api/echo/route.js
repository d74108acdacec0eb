import { cookies } from 'next/headers'

export async function GET(request) {
  return Response.json({ url: new URL(request.url).pathname, seen: (await cookies()).get('seen')?.value ?? null })
}

export async function POST(request) {
  (await cookies()).set('seen', '1', { httpOnly: true })
  return Response.json(await request.json(), { status: 201 })
}
