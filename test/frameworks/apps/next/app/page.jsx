import Link from 'next/link'
import Counter from './counter.jsx'

export default function Home() {
  return <main><h1>static page</h1><Counter /><Link href="/page/Ada">Ada</Link></main>
}
