import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type OptionTable, parseOptions } from './getopt.ts'

const table: OptionTable = {
  flags: ['print', 'print-only', 'quiet'],
  withValue: ['store', 'stop'],
  letters: 'hv',
  lettersWithValue: 'o',
}

/** `name=value` of options, `!reason` of problems, then the operands. */
function read(line: string): string[] {
  const { options, operands } = parseOptions(line === '' ? [] : line.split(' '), table)
  const found = options.map((each) => ('problem' in each ? `!${each.reason}` : `${each.name}=${each.value}`))
  return [...found, ...operands.map((operand) => `(${operand})`)]
}

const cases: [line: string, found: string[]][] = [
  ['', []],
  ['a - b', ['(a)', '(-)', '(b)']],
  ['--print a --store x b --store=y', ['print=', 'store=x', 'store=y', '(a)', '(b)']],
  ['--store --print', ['store=--print']],
  ['--store=', ['store=']],
  ['--store=a=b', ['store=a=b']],
  ['a -- --print -h', ['(a)', '(--print)', '(-h)']],
  ['--sto x', ["!option '--sto' is ambiguous; possibilities: '--store' '--stop'", '(x)']],
  ['--stor x --q --print-', ['store=x', 'quiet=', 'print-only=']],
  ['--print', ['print=']],
  ['--print=1', ["!option '--print' doesn't allow an argument"]],
  ['--nope', ["!unrecognized option '--nope'"]],
  ['--store', ["!option '--store' requires an argument"]],
  ['-h -o x -oy', ['h=', 'o=x', 'o=y']],
  ['-hvo -x', ['h=', 'v=', 'o=-x']],
  ['-o', ["!option requires an argument -- 'o'"]],
  ['-hx', ['h=', "!invalid option -- 'x'"]],
]
for (const [line, found] of cases) test(`getopt_long: "${line}"`, () => assert.deepEqual(read(line), found))
