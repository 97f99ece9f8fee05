"""Plans, calls and answers as the messages that carry them, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rerankd.core.embedding import Embedded
from rerankd.core.request import Content, RerankRequest
from rerankd.models import catalog
from rerankd.models.activation import SIGMOID
from rerankd.models.load import Spec
from rerankd.service.base import EmbedCall, RerankCall
from rerankd.service.plan import ServingPlan
from rerankd.workers.messages import (
    EmbeddedTexts,
    EmbedWork,
    PlanForm,
    RankWork,
    SpecForm,
    SpentSoFar,
)


def plan_form(plan: ServingPlan) -> PlanForm:
    """A plan as plain data."""
    return PlanForm(
        specs=tuple(_spec_form(spec) for spec in plan.specs),
        aliases=dict(plan.aliases),
        cascades=dict(plan.cascades),
        floors=dict(plan.floors),
    )


def plan_of(form: PlanForm) -> ServingPlan:
    """The plan."""
    return ServingPlan(
        specs=tuple(_spec(each) for each in form.specs),
        aliases=form.aliases,
        cascades=form.cascades,
        floors=form.floors,
    )


def _spec_form(spec: Spec) -> SpecForm:
    return SpecForm(
        name=spec.name,
        aliases=spec.aliases,
        folder=None if spec.folder is None else str(spec.folder),
        options=spec.options,
        chunk_rule=spec.chunk_rule,
        named_by_catalog=spec.named_by_catalog,
        recipe=spec.recipe,
        examples=spec.examples,
    )


def _spec(form: SpecForm) -> Spec:
    entry = catalog.find(form.name) if form.named_by_catalog else None
    return Spec(
        name=form.name,
        aliases=form.aliases,
        folder=None if form.folder is None else Path(form.folder),
        options=form.options,
        chunk_rule=form.chunk_rule,
        named_by_catalog=form.named_by_catalog,
        activation=SIGMOID if entry is None else entry.activation,
        recipe=form.recipe,
        examples=form.examples,
    )


def work_form(number: int, call: RerankCall) -> RankWork:
    """A call as plain data. What several of its requests share, their instruction, is said once."""
    instructions = {request.instruction: None for request in call.requests}
    placed = {said: place for place, said in enumerate(instructions)}
    return RankWork(
        id=number,
        model=call.model,
        requests=tuple(_bare(request) for request in call.requests),
        instructions=tuple(instructions),
        instructed=tuple(placed[request.instruction] for request in call.requests),
        cascade=call.cascade,
        places=tuple(tuple(each) for each in call.places),
        share=call.share,
        until=call.trace.until,
    )


def requests_of(work: RankWork) -> tuple[RerankRequest, ...]:
    """Its requests, whole."""
    said = work.instructions
    if said == (None,):
        return work.requests
    return tuple(
        replace(request, instruction=said[place])
        for request, place in zip(work.requests, work.instructed, strict=True)
    )


def _bare(request: RerankRequest) -> RerankRequest:
    """Without what is sent once, and what the answer alone needs."""
    if all(document.echo is None for document in request.documents):
        return request if request.instruction is None else replace(request, instruction=None)
    return replace(
        request, instruction=None, documents=tuple(_unechoed(each) for each in request.documents)
    )


def _unechoed(content: Content) -> Content:
    return content if content.echo is None else replace(content, echo=None)


def texts_form(number: int, call: EmbedCall) -> EmbedWork:
    """A call as plain data."""
    return EmbedWork(
        id=number,
        model=call.model,
        request=call.request,
        share=call.share,
        until=call.trace.until,
    )


def embedded_form(number: int, found: Embedded, spent: SpentSoFar) -> EmbeddedTexts:
    """Vectors as plain data."""
    vectors = np.ascontiguousarray(found.vectors, dtype=np.float32)
    return EmbeddedTexts(
        id=number,
        model=found.model,
        vectors=vectors.tobytes(),
        dimensions=vectors.shape[1],
        input_tokens=found.input_tokens,
        warnings=found.warnings,
        spent=spent,
    )


def embedded_of(form: EmbeddedTexts) -> Embedded:
    """The vectors; they cannot be written to."""
    vectors = np.frombuffer(form.vectors, dtype=np.float32).reshape(-1, form.dimensions)
    return Embedded(
        model=form.model,
        vectors=vectors,
        input_tokens=form.input_tokens,
        warnings=form.warnings,
    )
