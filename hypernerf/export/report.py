"""The page that shows a run: one HTML file with its pictures and curves inside, links to its meshes."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import write_atomically

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse } th, td { padding: .25em .9em; text-align: right; border-bottom: 1px solid #eee }
th:first-child, td:first-child { text-align: left } img { max-width: 100%; image-rendering: auto }
.note { color: #666 } tr.ours td { font-weight: 600 }
"""
COLORS = ("#1668b8", "#c4541b", "#2b8a3e", "#7b3fa0")


@dataclass(frozen=True)
class ReportData:
    """`metrics` as in metrics.json; `train` and `validation` as in metrics.jsonl; pictures and meshes are files."""

    title: str
    metrics: dict[str, Any]
    train: Sequence[dict[str, Any]]
    validation: Sequence[dict[str, Any]]
    sheets: Sequence[Path]
    turntable: Path | None
    meshes: Sequence[Path]


def write_report(path: Path, data: ReportData) -> None:
    """Writes the page. Raises `InputError` when the place cannot be written to."""
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(data.title)}</title><style>{STYLE}</style>
<h1>{html.escape(data.title)}</h1>{_training_line(data.metrics)}
<h2>Unseen scenes, unseen views</h2>{_scores(data.metrics)}{_shape(data.metrics)}
{_turntable(data)}
<h2>Context | prediction | truth</h2>{"".join(_picture(p) for p in data.sheets)}
<h2>Training</h2>{_curves(data)}
{_meshes(path, data)}</html>
"""
    write_atomically(path, lambda place: place.write_text(page, encoding="utf-8"))


def _training_line(metrics: dict[str, Any]) -> str:
    training = metrics.get("training", {})
    if "minutes" not in training:
        return ""
    return (
        f'<p class="note">Trained on {training["scenes"]} scenes for {training["minutes"]:.1f} minutes '
        f"({training['step']} steps, {training['rays_per_second'] / 1000:.0f} k rays/s).</p>"
    )


def _scores(metrics: dict[str, Any]) -> str:
    rows = [(f"{n} context view{'s' * (n != '1')}", "ours", s) for n, s in metrics["context_views"].items()]
    rows += [(name.replace("_", " "), "", s) for name, s in metrics["baselines"].items()]
    body = "".join(
        f'<tr class="{kind}"><td>{name}</td><td>{s["psnr"]:.2f}</td><td>{s["ssim"]:.3f}</td><td>{_number(s["lpips"])}</td></tr>'
        for name, kind, s in rows
    )
    note = f'<p class="note">LPIPS: {html.escape(metrics["lpips_missing"])}</p>' if metrics.get("lpips_missing") else ""
    head = "<tr><th></th><th>PSNR (dB)</th><th>SSIM</th><th>LPIPS</th></tr>"
    return f"<p>Means over {metrics['scenes']} scenes.</p><table>{head}{body}</table>{note}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _shape(metrics: dict[str, Any]) -> str:
    if "shape" not in metrics:
        return ""
    shape = metrics["shape"]
    rows = [(f"{shape['context_views']} context views", shape), ("mean field", shape["mean_field"])]
    body = "".join(f"<tr><td>{name}</td><td>{s['iou']:.3f}</td><td>{s['chamfer_l1']:.4f}</td></tr>" for name, s in rows)
    head = "<tr><th>Shape</th><th>IoU (64³)</th><th>Chamfer-L1 (radii)</th></tr>"
    return f"<p></p><table>{head}{body}</table>"


def _picture(path: Path) -> str:
    kind = {".gif": "gif", ".png": "png"}[path.suffix]
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{html.escape(path.stem)}" src="data:image/{kind};base64,{data}"></p>'


def _turntable(data: ReportData) -> str:
    if data.turntable is None:
        return ""
    return f"<h2>Reconstructed scenes, turning</h2>{_picture(data.turntable)}"


def _curves(data: ReportData) -> str:
    counts = dict.fromkeys(count for entry in data.validation for count in entry["psnr"])  # a resumed run may look at others
    lines = {"training rays": _smooth([(e["minutes"], e["psnr"]) for e in data.train])}
    lines |= {f"unseen, {n} views": [(e["minutes"], e["psnr"][n]) for e in data.validation if n in e["psnr"]] for n in counts}
    return plot({name: points for name, points in lines.items() if points}, "minutes", "PSNR (dB)")


def _smooth(points: Sequence[tuple[float, float]], window: int = 9) -> list[tuple[float, float]]:
    result = []
    for i, (x, _) in enumerate(points):
        part = points[max(0, i - window // 2) : i + window // 2 + 1]
        result.append((x, sum(y for _, y in part) / len(part)))
    return result


def plot(lines: dict[str, Sequence[tuple[float, float]]], x_name: str, y_name: str) -> str:
    """Lines of (x, y) points as an SVG picture with axes and a legend; empty without points."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return '<p class="note">nothing was logged</p>'
    width, height, left, bottom = 760, 300, 50, 36
    (x0, x1), (y0, y1) = ((min(v), max(v)) for v in zip(*points, strict=True))
    x1, y1 = max(x1, x0 + 1e-9), max(y1, y0 + 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (x - x0) / (x1 - x0) * (width - left - 10), 10 + (y1 - y) / (y1 - y0) * (height - bottom - 10)

    parts = []
    for i in range(5):
        x, y = x0 + (x1 - x0) * i / 4, y0 + (y1 - y0) * i / 4
        px, py = place(x, y)
        parts.append(f'<line x1="{left}" y1="{py:.1f}" x2="{width - 10}" y2="{py:.1f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{left - 6}" y="{py + 4:.1f}" text-anchor="end" font-size="11">{y:.1f}</text>')
        parts.append(f'<text x="{px:.1f}" y="{height - bottom + 16}" text-anchor="middle" font-size="11">{x:.1f}</text>')
    for number, (name, line) in enumerate(lines.items()):
        color = COLORS[number % len(COLORS)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(x, y) for x, y in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
        parts.append(f'<text x="{left + 12 + 170 * number}" y="24" font-size="12" fill="{color}">{html.escape(name)}</text>')
    parts.append(f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle" font-size="12">{x_name}</text>')
    parts.append(f'<text x="12" y="{height / 2}" font-size="12" transform="rotate(-90 12 {height / 2})">{y_name}</text>')
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" style="max-width:100%">{"".join(parts)}</svg>'


def _meshes(page: Path, data: ReportData) -> str:
    if not data.meshes:
        return ""
    items = "".join(
        f'<li><a href="{html.escape(p.relative_to(page.parent).as_posix())}">{html.escape(p.name)}</a></li>' for p in data.meshes
    )
    return f"<h2>Meshes</h2><ul>{items}</ul>"
