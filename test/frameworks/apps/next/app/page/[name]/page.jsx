import { Suspense } from 'react'
import { headers } from 'next/headers'
import { notFound, redirect } from 'next/navigation'

async function Slow() {
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  return <p>streamed later</p>
}

export default async function Page({ params }) {
  const { name } = await params
  if (name === 'nobody') notFound()
  if (name === 'moved') redirect('/page/Ada')
  const own = (await headers()).get('x-own')
  return <main><h1>hello {name}</h1><p>own: {own}</p><Suspense fallback={<p>wait</p>}><Slow /></Suspense></main>
}
