import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OnefoldError } from '../../error.ts'
import { type ConfigChange, parseChange } from './config-changes.ts'

const accepted: readonly [text: string, change: ConfigChange][] = [
  ['CMD ["/bin/a", "-x"]', { set: 'Cmd', to: ['/bin/a', '-x'] }],
  ['CMD=["/bin/a"]', { set: 'Cmd', to: ['/bin/a'] }],
  ['cmd echo "$HOME"', { set: 'Cmd', to: ['/bin/sh', '-c', 'echo "$HOME"'] }],
  ['CMD [not json', { set: 'Cmd', to: ['/bin/sh', '-c', '[not json'] }],
  ['ENTRYPOINT []', { set: 'Entrypoint', to: [] }],
  ['ENTRYPOINT ', { set: 'Entrypoint', to: [] }],
  ['SHELL ["/bin/bash", "-c"]', { set: 'Shell', to: ['/bin/bash', '-c'] }],
  ['USER=1000:1000', { set: 'User', to: '1000:1000' }],
  ['WORKDIR /srv/a b', { set: 'WorkingDir', to: '/srv/a b' }],
  ['STOPSIGNAL SIGRTMIN+3', { set: 'StopSignal', to: 'SIGRTMIN+3' }],
  ['STOPSIGNAL 9', { set: 'StopSignal', to: '9' }],
  ['VOLUME /a /b', { add: 'Volumes', names: ['/a', '/b'] }],
  ['VOLUME ["/a b"]', { add: 'Volumes', names: ['/a b'] }],
  ['EXPOSE 80 53/udp 8000-8002/TCP', { add: 'ExposedPorts', names: ['80/tcp', '53/udp', '8000/tcp', '8001/tcp', '8002/tcp'] }], // prettier-ignore
  ['ONBUILD RUN make', { add: 'OnBuild', names: ['RUN make'] }],
  ['ENV A=1 B="two words" C=\'$x\' D=a\\ b E=', { add: 'Env', pairs: [['A', '1'], ['B', 'two words'], ['C', '$x'], ['D', 'a b'], ['E', '']] }], // prettier-ignore
  ['ENV=A=1', { add: 'Env', pairs: [['A', '1']] }],
  ['ENV A two words', { add: 'Env', pairs: [['A', 'two words']] }],
  ['LABEL org.example.a="x \\"y\\"" b=c=d', { add: 'Labels', pairs: [['org.example.a', 'x "y"'], ['b', 'c=d']] }], // prettier-ignore
]

for (const [text, change] of accepted) test(text, () => assert.deepEqual(parseChange(text), change))

const refused = [
  ['', 'known are'],
  ['RUN make', 'known are'],
  ['CMD', 'known are'],
  ['WORKDIR here', 'absolute path'],
  ['STOPSIGNAL hup!', 'no signal'],
  ['SHELL /bin/sh', 'list in JSON'],
  ['EXPOSE 70000', 'no port'],
  ['EXPOSE 9-8', 'no port'],
  ['EXPOSE ', 'nothing follows'],
  ['ENV "A', 'quote is not closed'],
  ['ENV A', 'no NAME=VALUE'],
  ['ENV =x', 'no NAME=VALUE'],
  ['ONBUILD ', 'empty'],
] as const

for (const [text, why] of refused)
  test(`refused: ${text}`, () => assert.throws(() => parseChange(text), { code: 'USAGE', message: new RegExp(why) }))

test('any text is a change or a USAGE error', () => {
  const text = fc.tuple(
    fc.constantFrom('CMD ', 'ENV ', 'LABEL=', 'EXPOSE ', 'VOLUME ', 'STOPSIGNAL ', ''),
    fc.stringMatching(/^[a-c"'\\= \n[\]0-9/-]*$/),
  )
  fc.assert(
    fc.property(text, ([instruction, rest]) => {
      try {
        parseChange(instruction + rest)
      } catch (error) {
        assert.ok(error instanceof OnefoldError && error.code === 'USAGE', String(error))
      }
    }),
    { numRuns: 500 },
  )
})
