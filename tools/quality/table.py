"""Records to markdown: a table a data set, a line a method, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from hypernerf.files import write_atomically
from hypernerf.training import Scores
from hypernerf.types import InputError

from .plan import DATASETS, METHODS, OURS
from .record import Record, Scored

BEGIN, END = "<!-- tools/quality.py: begin -->", "<!-- tools/quality.py: end -->"
NOTES = {
    "volume": "volume against the exact object's, 64³ cells",
    "masks": "the mesh's silhouette against the true masks of the target views",
}


@dataclass(frozen=True)
class Line:
    """One line of a table: the same method, data and budget, a `Scored` a seed."""

    title: str
    training: str
    seeds: tuple[Scored, ...]


def markdown(records: Sequence[Record]) -> str:
    """A table for each data set, in the benchmark's order, and each budget of it, the longest first."""
    parts = []
    for dataset in [*DATASETS, *sorted({r.row.dataset for r in records} - set(DATASETS))]:
        here = [record for record in records if record.row.dataset == dataset]
        budgets = sorted({r.budget.minutes for r in here if r.budget.minutes is not None}, reverse=True)
        for minutes in budgets or (None,):
            same = [record for record in here if record.budget.minutes in (minutes, None)]
            parts += _tables(dataset if minutes is None else f"{dataset}, {minutes:g} minutes of training", same)
    facts = sorted({f"{r.date}, {r.machine}, commit {r.commit[:9]}" for r in records})
    return "\n\n".join([*parts, "Measured: " + "; ".join(facts) + "."]) + "\n"


def _tables(title: str, records: Sequence[Record]) -> list[str]:
    """Of one data set and budget: unseen scenes, the held-out pack, adaptation, as far as there are figures."""
    unseen = _lines(records, lambda record: record.test)
    held_out = _lines(records, lambda record: record.held_out)
    adapted = _adapted_lines([record for record in records if record.adapted is not None])
    named = {title: unseen, f"{title}: the pack that was held out": held_out, f"{title}: adapted at test time": adapted}
    return [_table(name, lines) for name, lines in named.items() if lines]


def _groups(records: Iterable[Record]) -> list[list[Record]]:
    """The seeds of one method and budget together, methods in the benchmark's order."""
    order = [method.name for method in METHODS]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: (order.index(r.row.method), r.row.seed)):
        groups.setdefault((record.row.method, record.budget.name), []).append(record)
    return list(groups.values())


def _lines(records: Sequence[Record], part: Callable[[Record], Scored | None]) -> list[Line]:
    lines = []
    for group in _groups(records):
        scored = tuple(found for record in group if (found := part(record)) is not None)
        if scored:
            lines.append(Line(group[0].row.method, _training(group), scored))
    baselines = next((record for record in records if record.row.method == OURS), None)
    if baselines is not None and baselines.test is part(baselines):
        for title, scores in (("mean field", baselines.mean_field), ("nearest of 5 views", baselines.nearest_view)):
            if scores is not None:
                everywhere = dict.fromkeys(baselines.test.context_views, scores)
                lines.append(Line(title, "", (Scored(baselines.test.scenes, everywhere),)))
    return lines


def _adapted_lines(records: Sequence[Record]) -> list[Line]:
    lines = []
    for group in _groups(records):
        steps = group[0].adapt_steps
        before = tuple(_only(r.unadapted, r.adapted) for r in group if r.unadapted is not None and r.adapted is not None)
        after = tuple(record.adapted for record in group if record.adapted is not None)
        lines += [Line("one forward pass", _training(group), before), Line(f"--adapt {steps}", "", after)]
    return lines


def _only(scored: Scored, like: Scored) -> Scored:
    """The numbers of views that `like` has."""
    return Scored(scored.scenes, {count: scored.context_views[count] for count in like.context_views})


def _training(group: Sequence[Record]) -> str:
    steps = " + ".join(f"{fmean(r.steps[i] for r in group):.0f}" for i in range(len(group[0].steps)))
    minutes = " + ".join(f"{fmean(r.minutes[i] for r in group):.3g}" for i in range(len(group[0].minutes)))
    rate = "" if group[0].row.method == OURS else f", learning rate {group[0].learning_rate:g}"
    return f"{steps} steps in {minutes} min{rate}"


def _table(title: str, lines: Sequence[Line]) -> str:
    counts = sorted({int(count) for line in lines for scored in line.seeds for count in scored.context_views})
    perceptual = all(s.lpips is not None for line in lines for scored in line.seeds for s in scored.context_views.values())
    meshes = [scored for line in lines for scored in line.seeds if scored.mesh_iou is not None]
    heads = ["", "training", *(f"{count} view{'s' * (count > 1)}" for count in counts)]
    if meshes:
        heads.append(f"mesh IoU, {meshes[0].mesh_views} views")
    best = {
        count: max(_mean(line, str(count)) for line in lines if str(count) in line.seeds[0].context_views) for count in counts
    }
    rows = []
    for line in lines:
        cells = [_cell(line, str(count), best[count], perceptual) for count in counts]
        if meshes:
            ious = [scored.mesh_iou for scored in line.seeds if scored.mesh_iou is not None]
            cells.append(_spread(ious, 3) if ious else "")
        name = line.title + (f", {len(line.seeds)} seeds" if len(line.seeds) > 1 else "")
        rows.append([name, line.training, *cells])
    figures = "PSNR in dB / SSIM" + " / LPIPS" * perceptual
    about = f"{figures}, {lines[0].seeds[0].scenes} unseen scenes, the same unseen views for all"
    about += f"; mesh IoU: {NOTES[meshes[0].mesh_kind or 'volume']}" if meshes else ""
    text = [f"### {title}", "", f"{about}. ± is half of the range over seeds; the best PSNR of a column is bold.", ""]
    text += [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]
    return "\n".join(text)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _mean(line: Line, count: str) -> float:
    return fmean(scored.context_views[count].psnr for scored in line.seeds)


def _cell(line: Line, count: str, best: float, perceptual: bool) -> str:
    if count not in line.seeds[0].context_views:
        return ""
    scores: list[Scores] = [scored.context_views[count] for scored in line.seeds]
    psnr = _spread([s.psnr for s in scores], 2)
    psnr = f"**{psnr}**" if _mean(line, count) == best else psnr
    parts = [psnr, _spread([s.ssim for s in scores], 3)]
    if perceptual:
        parts.append(_spread([s.lpips for s in scores if s.lpips is not None], 3))
    return " / ".join(parts)


def _spread(values: Sequence[float], digits: int) -> str:
    """Mean, and half of the range where there are several."""
    mean = f"{fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.{digits}f}"


def write_table(path: Path, text: str) -> None:
    """Puts `text` between the marks of a markdown file, or makes a file that has them.

    Raises:
        InputError: a file that is there and has no marks.
    """
    old = path.read_text() if path.is_file() else f"{BEGIN}\n{END}\n"
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path}: nowhere to put the table: add the lines {BEGIN} and {END}, or name a new file")
    write_atomically(path, lambda place: place.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}"))
