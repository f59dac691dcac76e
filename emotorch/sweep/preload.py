"""All that a sweep's workers need: imported by the one process that they are forks of, and by nobody else."""

import gc

# A collection would write to every object, and what is written to is no longer shared with the forks.
gc.freeze()
