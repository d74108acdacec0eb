import { defineNitroConfig } from 'nitro/config'

// The output is a program that listens; it needs nothing of node_modules.
export default defineNitroConfig({ preset: 'node-server', serverDir: './', compatibilityDate: '2025-10-01', serveStatic: true })
