export const metadata = { title: 'Next behind Tenantry' }

export default function Layout({ children }) {
  return <html lang="en"><body>{children}</body></html>
}
