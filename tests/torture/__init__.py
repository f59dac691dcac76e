"""A campaign of everything that can go wrong: processes killed, disks full, calls that fail, bytes that flip, hostile
inputs, a page under attack. `make torture` runs it for some minutes and writes docs/reliability.md.

A trial holds when the same command, run again, ends with the bytes that an untouched run makes; or when what is wrong
is refused by name: exit status 1 or 2, one line, no traceback. Trials are forks of a process that has imported
everything already, so that their seconds go to the work.
"""
