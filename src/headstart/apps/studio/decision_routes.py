"""Requests that decide: labels, exclusions, undo and redo, classes, queues."""

import asyncio
import sqlite3
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from headstart.apps.http.limits import Problem
from headstart.apps.studio.browse_routes import ordered
from headstart.apps.studio.session import Session
from headstart.apps.studio.shown import changes_as_json, checked_rows, model_as_json, review_as_json
from headstart.data.decided import Decision
from headstart.errors import HeadstartError
from headstart.labelling.decision_book import UNCHANGED, DecidedMeanwhile, UnreadRowError
from headstart.labelling.orders import Order
from headstart.labelling.workbench import QUEUES, Workbench

WAIT_SECONDS = 20.0  # that a request for changes waits for one
REASON = r"^(label|relabel|exclude|keep|skip)(:[a-z_]{1,40})?$"
Window = Annotated[str, Header(alias="X-Window", min_length=1, max_length=80)]
# The key of a decision, made at random: a request that is sent again with it gets its first answer and does nothing twice.
Key = Annotated[str | None, Header(alias="X-Decision", min_length=8, max_length=80)]


class Wish(BaseModel):
    """What a person wants for some rows. A key that is left out changes nothing."""

    model_config = ConfigDict(extra="forbid")

    rows: list[int] | None = None
    order: Order | None = None  # all rows of an order, in place of `rows`
    n: int | None = None  # how many rows the person saw in that order
    label: str | None = Field(None, min_length=1)
    excluded: bool | None = None
    why: Annotated[str, Field(pattern=REASON)]
    expected: int  # the number of the last decision that the person has seen


def deciding(session: Session) -> APIRouter:
    """The routes that write, and those that tell of it."""
    router, bench = APIRouter(), session.bench

    @router.post("/api/decisions", summary="Decide on rows; the answer comes when it is on disk")
    async def decide(wish: Wish, who: Window, key: Key = None) -> JSONResponse:
        return await asyncio.to_thread(_decided, session, wish, who, key)

    @router.post("/api/undo", summary="Take back this window's last decision")
    async def undo(who: Window, key: Key = None) -> JSONResponse:
        return await asyncio.to_thread(_taken_back, session, who, key, again=False)

    @router.post("/api/redo", summary="Make the decision again that was taken back last")
    async def redo(who: Window, key: Key = None) -> JSONResponse:
        return await asyncio.to_thread(_taken_back, session, who, key, again=True)

    @router.post("/api/classes", summary="Make a class")
    async def add_class(name: Annotated[str, Body(embed=True, min_length=1)], who: Window) -> dict[str, list[str]]:
        try:
            await asyncio.to_thread(bench.book.add_class, name, who)
        except HeadstartError as error:
            raise _refused(error) from error
        bench.on_change()
        return {"classes": list(bench.catalogue.classes)}

    @router.post("/api/export", summary="Write labels.csv and exclude.csv")
    async def export() -> dict[str, Any]:
        try:
            return await asyncio.to_thread(session.export)
        except HeadstartError as error:
            raise Problem(409, error.message, error.hint or "see the server's log") from error

    return router


def telling(session: Session) -> APIRouter:
    """The route that tells of what others decided and of what goes on beside."""
    router, bench = APIRouter(), session.bench

    @router.get("/api/changes", summary="What was decided since; waits for something to tell")
    async def changes(since: int, model: int | None = None, n_read: int | None = None, map: int | None = None) -> Response:
        problem, was_scanned = bench.problem, bench.scanned

        def something() -> bool:
            return (
                bench.book.last > since
                or bench.scanned != was_scanned
                or (model is not None and model != bench.version)
                or (bench.n_read != n_read if n_read is not None else not bench.scanned)
                or (map is not None and map != bench.map_version)
                or bench.problem != problem
            )

        await session.waiting.until(something, WAIT_SECONDS)
        read = {"n_read": bench.n_read, "scanning": not bench.scanned}
        return await asyncio.to_thread(lambda: JSONResponse(read | _news(bench, since)))

    return router


def _news(bench: Workbench, since: int) -> dict[str, Any]:
    """What was decided since, which may be on many rows, and what goes on beside."""
    decisions = list(bench.log.since(since))
    return {
        "last": max((decision.number for decision in decisions), default=since),
        "changes": changes_as_json(bench, decisions),
        "model": bench.version,
        "map": bench.map_version,
        "classes": list(bench.catalogue.classes),
        "problem": bench.problem or None,
    }


def reviewing(session: Session) -> APIRouter:
    """The routes of what waits for a decision, and of the model."""
    router, bench = APIRouter(), session.bench

    @router.get("/api/queues", summary="What waits for a decision")
    async def all_queues() -> list[dict[str, Any]]:
        found = await asyncio.to_thread(bench.queues)
        return [asdict(queue) for queue in found]

    @router.get("/api/queues/{name}", summary="The first images of a queue")
    async def queue(name: str, n: Annotated[int, Query(ge=1, le=200)] = 20) -> list[dict[str, Any]]:
        return await asyncio.to_thread(_first_of, session, name, n)

    @router.get("/api/reviewed", summary="The accuracy with wrong labels taken out, as far as the sample is reviewed")
    async def reviewed() -> dict[str, Any]:
        return await asyncio.to_thread(review_as_json, bench)

    @router.get("/api/model", summary="How good the model beside you is")
    async def model() -> dict[str, Any]:
        return await asyncio.to_thread(model_as_json, bench)

    return router


def _rows_of(session: Session, wish: Wish) -> list[int]:
    if (wish.rows is None) == (wish.order is None):
        raise Problem(422, "a decision is about rows or about an order", "give one of them")
    if wish.rows is not None:
        return checked_rows(session.bench.catalogue, dict.fromkeys(wish.rows))
    assert wish.order is not None
    found: list[int] = ordered(session, wish.order).tolist()
    if wish.n is not None and wish.n != len(found):
        raise Problem(409, f"there are {len(found)} such images now, not {wish.n}", "look at them, and decide again")
    return found


def _decided(session: Session, wish: Wish, who: str, key: str | None) -> JSONResponse:
    """Decides, unless this was done: then the first answer again. Raises Problem."""
    book = session.bench.book
    label = wish.label if "label" in wish.model_fields_set else UNCHANGED
    try:
        answer = book.answer_to(key, who)
        if answer is not None:
            return _answer_of(answer.decision)
        wanted = _rows_of(session, wish)
        with book.prepared(wanted, wish.why, label=label, excluded=wish.excluded) as prepared, book.catalogue.lock:
            answer = book.answer_to(key, who)  # to the same request, sent again meanwhile
            if answer is not None:
                return _answer_of(answer.decision)
            rows = wanted if wish.order is None else _rows_of(session, wish)  # of an order: if they are still those
            decision = book.decide(
                rows,
                who=who,
                why=wish.why,
                seen=wish.expected,
                label=label,
                excluded=wish.excluded,
                key=key,
                prepared=prepared,
            )
    except DecidedMeanwhile as conflict:
        return _conflict(session, conflict)
    except HeadstartError as error:
        raise _refused(error) from error
    _tell(session.bench, decision)
    return _answer_of(decision)


def _tell(bench: Workbench, decision: Decision | None) -> None:
    """Has all windows hear of a decision, and the model follow it if there is something to follow."""
    if decision is not None and decision.alters:
        bench.changed()
    else:
        bench.on_change()


def _answer_of(decision: Decision | None) -> JSONResponse:
    return JSONResponse({"decision": decision and decision.number, "changed": len(decision.changes) if decision else 0})


def _taken_back(session: Session, who: str, key: str | None, *, again: bool) -> JSONResponse:
    """Takes back or makes again, unless this was done: then the first answer again. Raises Problem."""
    book = session.bench.book
    try:
        answer = book.answer_to(key, who, undo=not again)
        with ExitStack() as stack:
            prepared = None if answer else stack.enter_context(book.prepared_taking_back(who, again=again))
            stack.enter_context(book.catalogue.lock)
            answer = answer or book.answer_to(key, who, undo=not again)
            decision = answer.decision if answer else book.take_back(who, again=again, key=key, prepared=prepared)
    except DecidedMeanwhile as conflict:
        return _conflict(session, conflict)
    except HeadstartError as error:
        raise _refused(error) from error
    if decision is None:
        return JSONResponse({"decision": None, "rows": []})
    _tell(session.bench, decision)
    return JSONResponse({"decision": decision.number, "rows": [row for row, _ in book.pairs_in(decision)]})


def _refused(error: HeadstartError) -> Problem:
    """What is wrong with the request; or, if it is the disk or an image is not read yet, that it can be sent again."""
    passes = isinstance(error, UnreadRowError) or isinstance(error.__cause__, sqlite3.Error)
    return Problem(503 if passes else 422, error.message, error.hint or "GET /docs describes all requests")


def _conflict(session: Session, conflict: DecidedMeanwhile) -> JSONResponse:
    columns, book = session.bench.catalogue.columns, session.bench.book
    conflicts = []
    for row in conflict.rows:
        last = book.of_row(row)
        state = {"label": int(columns["label"][row]), "excluded": bool(columns["excluded"][row])}
        conflicts.append({"row": row} | state | {"who": last.who, "at": last.at})
    return JSONResponse({"error": conflict.message, "hint": conflict.hint, "conflicts": conflicts}, 409)


def _first_of(session: Session, name: str, n: int) -> list[dict[str, Any]]:
    bench = session.bench
    if name not in QUEUES:
        raise Problem(404, f"there is no queue {name}", f"one of {', '.join(QUEUES)}")
    shown = []
    for item in bench.items(name, n):
        of_class = bench.nearest_by_class(item.row)
        label = int(bench.catalogue.columns["label"][item.row])
        speaking_for = of_class.get(item.suggestion, []) if item.suggestion is not None else []
        against = of_class.get(label, []) if label != item.suggestion else []
        shown.append(asdict(item) | {"for": speaking_for, "against": against})
    return shown
