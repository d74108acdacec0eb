// What most applications load before they answer.
import express from 'express'

const app = express()
app.get('/', (request, response) => response.send('Hello, World!'))
export default app
