"""What must survive: the journal of observations, decisions and events, the specs, the policies' memory.

SQLAlchemy on SQLite by default, PostgreSQL for more than one control process. Knows tables, not what they mean.
Called by `control` (writes) and by `report`'s callers and the command line (reads).
"""
