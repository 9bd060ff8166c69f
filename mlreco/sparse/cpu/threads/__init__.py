"""Who computes: helper threads, the board where they find jobs, the queue of calls, how many threads there are."""
