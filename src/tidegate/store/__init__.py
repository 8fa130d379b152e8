"""What must survive: the journal of observations, decisions and events, the specs, the policies' memory.

SQLAlchemy on SQLite by default, PostgreSQL for more than one control process. Knows tables, not what they mean; never
decides what is worth keeping, except that the oldest goes when there is too much. Called by `control` (writes) and by
`report`'s callers and the command line (reads). Importing `store.journal` is slow (SQLAlchemy): do it when needed.
"""
