"""The SQLite file of a label log: its tables, how it is opened, and what is said where it cannot be used.

Format 1. To change it: raise FORMAT, and teach `_open` the older formats.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from headstart.errors import DataError

FORMAT = 1  # kept in the file as its user_version
APPLICATION = 0x68736C6C  # its application_id: tells a label log from the SQLite files of other programs
PATIENCE_SECONDS = 60.0  # that another process may take for what it is writing
TABLES = """
CREATE TABLE images (id INTEGER PRIMARY KEY, digest BLOB NOT NULL, path TEXT NOT NULL, UNIQUE (path, digest));
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    undoes INTEGER UNIQUE,         -- the entry that this one takes back; NULL for a decision itself
    root INTEGER NOT NULL,         -- the decision that is made, taken back or made again
    takes_back INTEGER NOT NULL,   -- 1 if the root is not in force after this entry
    first_change INTEGER NOT NULL, -- the ids of an entry's changes have no gap
    n_changes INTEGER NOT NULL,
    chain BLOB NOT NULL            -- SHA-256 of the chain of the entry before and of this entry
);
CREATE INDEX entries_of_root ON decisions (root);
CREATE TABLE changes (
    id INTEGER PRIMARY KEY,
    decision INTEGER NOT NULL,
    image INTEGER NOT NULL,
    old_label TEXT,
    old_excluded INTEGER NOT NULL,
    new_label TEXT,
    new_excluded INTEGER NOT NULL
);
CREATE INDEX changes_of_image ON changes (image);
CREATE TABLE keys (                -- of requests to write, for those whose answer was lost
    key TEXT PRIMARY KEY,
    decision INTEGER               -- the entry that was made; NULL if there was nothing to undo or redo
) WITHOUT ROWID;
CREATE TABLE classes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, who TEXT NOT NULL, at REAL NOT NULL);
"""
APPENDED_TO = ("images", "decisions", "changes", "keys", "classes")
FULL = ("SQLITE_FULL",)
DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
WAITED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
OF_THE_SYSTEM = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_NOLFS")


def connect(file: Path, *, create: bool) -> sqlite3.Connection:
    """A connection to a label log, in autocommit mode and for use in any thread; `create` makes a log where there is none.

    The connection can only read if this user may not write. Raises DataError.
    """
    if file.is_dir() or (not create and not file.is_file()):
        raise DataError(f"there are no labels in {file.parent}: {file} is not a file", hint="give the project of a studio")
    with explained(file):
        try:
            return _open(file, "rwc" if create else "rw", create=create)
        except sqlite3.OperationalError as error:
            # In a folder that cannot be written to SQLite cannot make the file through which processes share a log. If there is
            # no unfinished journal beside it either, the file is all there is, and nobody can change it.
            journal = file.with_name(file.name + "-wal")
            if create or not error.sqlite_errorname.startswith(OF_THE_SYSTEM) or (journal.exists() and journal.stat().st_size):
                raise
            return _open(file, "ro&immutable=1", create=False)


def _open(file: Path, mode: str, *, create: bool) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=PATIENCE_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if create and _is_empty(database):
            database.execute("PRAGMA journal_mode = WAL")
            _make_tables(database)
        database.execute("PRAGMA synchronous = FULL")
        _check(database, file)
    except BaseException:
        database.close()
        raise
    return database


def _is_empty(database: sqlite3.Connection) -> bool:
    """Whether there is nothing in the file: it is new, or the process that made it was killed before it wrote anything."""
    ((application,),) = database.execute("PRAGMA application_id")
    ((n_tables,),) = database.execute("SELECT count(*) FROM sqlite_master")
    return application == 0 and n_tables == 0


def _make_tables(database: sqlite3.Connection) -> None:
    """Makes the tables, all or none, unless another process has just made them."""
    database.execute("BEGIN IMMEDIATE")
    with database:
        if not _is_empty(database):
            return
        for statement in TABLES.split(";\n"):
            database.execute(statement)
        for table in APPENDED_TO:
            for change in ("UPDATE", "DELETE"):
                database.execute(
                    f"CREATE TRIGGER no_{change.lower()}_of_{table} BEFORE {change} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'a label log is only appended to'); END"
                )
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {FORMAT}")


def _check(database: sqlite3.Connection, file: Path) -> None:
    """Raises DataError if the file is another program's, of a newer format, or damaged."""
    ((application,),) = database.execute("PRAGMA application_id")
    ((version,),) = database.execute("PRAGMA user_version")
    if application != APPLICATION:
        raise DataError(f"{file} is an SQLite file of another program", hint="give the project of a studio, or a new folder")
    if version > FORMAT:
        raise DataError(
            f"{file} has format {version}; this version of headstart reads up to {FORMAT}",
            hint="pip install --upgrade headstart",
        )
    with closing(database.execute("PRAGMA integrity_check(1)")) as rows:
        ((found,),) = rows.fetchall()
    if found != "ok":
        raise damaged(file, str(found).splitlines()[-1])


def damaged(file: Path, what: str) -> DataError:
    """The error for a log whose content is not what was written."""
    return DataError(
        f"{file} is damaged: {what}",
        hint="restore it from a copy; labels.csv and exclude.csv beside it hold what was exported last",
    )


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """An error of SQLite within the block that the user can do something about becomes a DataError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(DAMAGED):
            raise damaged(file, str(error)) from error
        if name.startswith(FULL):
            raise DataError(f"{file} cannot be written: the disk is full", hint="free some space, and decide again") from error
        if name.startswith(WAITED):
            what = f"{file} is in use: another process has been writing to it for {PATIENCE_SECONDS:.0f} seconds"
            raise DataError(what, hint="wait until it has ended") from error
        if name.startswith(OF_THE_SYSTEM):
            raise DataError(f"{file} cannot be used: {error}", hint="check the permissions of its folder") from error
        raise
