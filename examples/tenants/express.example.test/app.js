// Express 5, CommonJS: the module exports the application, which is a (req, res) function.
const express = require('express')

const app = express()
let requests = 0

app.use((req, res, next) => {
  requests += 1
  next()
})

app.get('/', (req, res) => {
  res.json({ application: 'express', requests, group: process.env.TENANTRY_APPLICATION_GROUP })
})

app.get('/hello/:name', (req, res) => {
  res.type('text').send(`Hello, ${req.params.name}\n`)
})

app.post('/echo', express.json(), (req, res) => {
  res.status(201).json(req.body)
})

module.exports = app
