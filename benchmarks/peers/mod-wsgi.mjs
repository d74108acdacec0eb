// Apache with mod_wsgi: mod-wsgi.mjs embedded|daemon, an application group for each host, as Debian packages both.
// `daemon`: two processes of 15 threads, the example of modwsgi.readthedocs.io/en/master/configuration-directives/
// WSGIProcessGroup.html, with WSGIRestrictEmbedded On as its own page recommends. `embedded`: as many processes from the
// start as there will ever be, so that none is started or ended under load (…/user-guides/embedded-and-daemon-mode.html).
// Kept connections are not cut after 100 requests: httpd.apache.org/docs/2.4/mod/core.html#maxkeepaliverequests.
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, launch } from './launch.mjs'

const MODULES = '/usr/lib/apache2/modules'
const HOSTS = ['bench', 'other']
const scripts = fileURLToPath(new URL('mod-wsgi/', import.meta.url))
const daemon = process.argv[2] === 'daemon'

const folder = mkdtempSync(path.join(tmpdir(), 'tenantry-apache-'))
// The children are another user, and read the applications from where this file is.
chmodSync(folder, 0o755)
const port = await freePort()
const file = path.join(folder, 'apache.conf')
writeFileSync(file, configuration())
await launch('/usr/sbin/apache2', ['-d', folder, '-f', file, '-D', 'FOREGROUND'], { port, folder })

function configuration() {
  return `
    ServerName localhost
    Listen 127.0.0.1:${port}
    PidFile ${folder}/apache.pid
    DefaultRuntimeDir ${folder}
    ErrorLog ${folder}/error.log
    LogLevel error
    ${process.getuid() === 0 ? 'User www-data\n    Group www-data' : ''}
    LoadModule mpm_event_module ${MODULES}/mod_mpm_event.so
    LoadModule authz_core_module ${MODULES}/mod_authz_core.so
    LoadModule wsgi_module ${MODULES}/mod_wsgi.so
    ServerLimit 8
    StartServers ${daemon ? 2 : 4}
    ThreadsPerChild 64
    MaxRequestWorkers ${daemon ? 512 : 256}
    MinSpareThreads ${daemon ? 128 : 256}
    MaxSpareThreads ${daemon ? 512 : 256}
    KeepAlive On
    MaxKeepAliveRequests 0
    KeepAliveTimeout 30
    WSGISocketPrefix ${folder}/wsgi
    WSGIApplicationGroup %{HOST}
    ${daemon ? 'WSGIRestrictEmbedded On\n    WSGIDaemonProcess pool processes=2 threads=15\n    WSGIProcessGroup pool' : ''}
    <Directory ${scripts}>
      Require all granted
    </Directory>
    ${HOSTS.map((name) => `<VirtualHost 127.0.0.1:${port}>
      ServerName ${name}.example.test
      WSGIScriptAlias / ${scripts}${name}.wsgi
    </VirtualHost>`).join('\n    ')}
`
}
