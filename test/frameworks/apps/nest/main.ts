// What people do with NestJS: injection, pipes, guards, interceptors, filters, streams, events, a gateway, shutdown hooks.
import 'reflect-metadata'
import { Readable } from 'node:stream'
import {
  ArgumentsHost, Body, CanActivate, Catch, Controller, ExceptionFilter, ExecutionContext, Get, HttpCode, Injectable, Ip, Module,
  NestInterceptor, NestModule, MiddlewareConsumer, OnApplicationShutdown, Param, ParseIntPipe, Post, Query, Redirect, Req, Res, Sse,
  StreamableFile, UseFilters, UseGuards, UseInterceptors, CallHandler, Header, ForbiddenException,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { WsAdapter } from '@nestjs/platform-ws'
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets'
import { interval, map, Observable, take } from 'rxjs'

@Injectable()
class Greeter {
  greet(name: string): string {
    return `hello ${name}`
  }
}

@Injectable()
class Members implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToHttp().getRequest<{ headers: Record<string, string> }>().headers['authorization'] === 'member'
  }
}

@Injectable()
class Wrapped implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ data })))
  }
}

class Teapot extends Error {}

@Catch(Teapot)
class TeapotFilter implements ExceptionFilter {
  catch(error: Teapot, host: ArgumentsHost): void {
    host.switchToHttp().getResponse<{ status(code: number): { json(value: unknown): void } }>().status(418).json({ teapot: error.message })
  }
}

@Controller()
class Pages {
  constructor(private readonly greeter: Greeter) {}

  @Get()
  index(@Ip() ip: string, @Req() req: { marked: boolean }): object {
    return { ip, marked: req.marked }
  }

  @Get('greet/:name')
  greet(@Param('name') name: string): string {
    return this.greeter.greet(name)
  }

  @Get('pages')
  pages(@Query('page', ParseIntPipe) page: number): object {
    return { page }
  }

  @Post('echo')
  @HttpCode(202)
  echo(@Body() body: unknown): unknown {
    return body
  }

  @Get('members')
  @UseGuards(Members)
  @UseInterceptors(Wrapped)
  members(): string[] {
    return ['ada']
  }

  @Get('teapot')
  @UseFilters(TeapotFilter)
  teapot(): never {
    throw new Teapot('short and stout')
  }

  @Get('forbidden')
  forbidden(): never {
    throw new ForbiddenException('not here')
  }

  @Get('crash')
  crash(): never {
    throw new Error('on purpose')
  }

  @Get('moved')
  @Redirect('/greet/moved', 301)
  moved(): void {}

  @Get('file')
  @Header('content-type', 'text/plain')
  file(): StreamableFile {
    return new StreamableFile(Readable.from([Buffer.from('from a '), Buffer.from('stream')]))
  }

  @Get('raw')
  raw(@Res() res: { end(text: string): void }): void {
    res.end('raw')
  }

  @Sse('events')
  events(): Observable<{ data: object }> {
    return interval(20).pipe(take(3), map((tick) => ({ data: { tick } })))
  }
}

@WebSocketGateway({ path: '/socket' })
class Gateway {
  @SubscribeMessage('shout')
  shout(@MessageBody() text: string): object {
    return { event: 'shouted', data: text.toUpperCase() }
  }
}

@Module({ controllers: [Pages], providers: [Greeter, Gateway] })
class AppModule implements NestModule, OnApplicationShutdown {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply((req: { marked: boolean }, _res: unknown, next: () => void) => {
      req.marked = true
      next()
    }).forRoutes('{*path}')
  }

  onApplicationShutdown(signal?: string): void {
    console.log(`shutdown by ${signal}`)
  }
}

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn', 'log'] })
app.useWebSocketAdapter(new WsAdapter(app))
app.enableShutdownHooks()
await app.listen(process.env['PORT'] ?? 3000)
