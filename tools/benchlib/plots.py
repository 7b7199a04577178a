"""Pictures of the results, as SVG, by gnuplot: bars for what was measured once, curves for what grows."""
import shutil
import statistics
import subprocess

BEGIN = """set terminal svg size 800,{height} font "sans,13" background rgb "white"
set output "{file}"
set title "{title}"
set style fill solid 0.8 noborder
"""
BARS = """set xrange [0:*]
set yrange [{rows}-0.5:-0.5]
set xlabel "{label}"
set grid xtics
set boxwidth 0.7
unset key
set offsets 0, graph 0.1, 0, 0
plot $data using ($2/2):0:($2/2):(0.35):ytic(1) with boxxyerror linecolor rgb "#3a6ea5", \\
     $data using 2:0:3 with labels left offset 0.5,0
"""
GROWTH = """set logscale xy
set xlabel "messages in the account" offset 0,0.7
set ylabel "{left}"
set format x "%.0s%c"
set grid
set key below height 1
{second}plot {curves}
"""
SECOND = """set logscale y2
set y2label "MB"
set ytics nomirror
set y2tics
"""
CURVE = "$data using 1:{column} with linespoints linewidth 2 pointtype 7 {style}title columnheader({column})"
UNITS = {"s": "seconds", "B": "octets"}


def quoted(text):
    return '"' + str(text).replace('"', "'").replace("\\", "") + '"'


def draw(path, title, lines, body, height=420):
    script = BEGIN.format(file=path, title=title, height=height) + "$data << END\n" + "\n".join(lines) + "\nEND\n" + body
    done = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"gnuplot: {done.stderr.strip()[-500:]}")


def draw_bars(path, title, label, values):
    lines = [f'{quoted(name)} {value} "{value:.2f}"' for name, value in values]
    draw(path, title, lines, BARS.format(rows=len(lines), label=label), 120 + 40 * len(lines))


def bars(path, figure):
    medians = {name: statistics.median(samples) for name, samples in figure["series"].items() if samples}
    draw_bars(path, figure["title"], UNITS[figure["unit"]], sorted(medians.items(), key=lambda item: item[1]))


def growth(path, title, figures):
    """All in one picture, of one axis of sizes; what is in MB has the axis at the right."""
    curves = [(name, figure["unit"], values) for figure in figures for name, values in figure["series"].items()]
    sizes = sorted({size for _, _, values in curves for size in values})
    lines = ["messages " + " ".join(quoted(name) for name, _, _ in curves)]
    lines += [" ".join([str(size)] + [str(statistics.median(values[size])) if values.get(size) else "NaN" for _, _, values in curves])
              for size in sizes]
    plots = [CURVE.format(column=number, style="dashtype 2 axes x1y2 " if unit == "MB" else "")
             for number, (_, unit, _) in enumerate(curves, 2)]
    left = next((UNITS[unit] for _, unit, _ in curves if unit != "MB"), "")
    second = SECOND if any(unit == "MB" for _, unit, _ in curves) else ""
    draw(path, title, lines, GROWTH.format(left=left, second=second, curves=", ".join(plots)), 560)


def reading(path, rows):
    draw_bars(path, "reading in the mount", "times as long as a native Maildir", [(row.what, row.ratio) for row in rows])


def draw_all(folder, figures, rows, say):
    """Returns the files. Without gnuplot there are none, which was said before."""
    if not shutil.which("gnuplot"):
        return []
    made, jobs = [], []
    for figure in figures:
        if figure["kind"] == "bars":
            jobs.append((f"{figure['measure'].lower()}.svg", bars, [figure]))
    for name, title, units in (("growth", "what things cost with ever more mail", ("s", "MB")),
                               ("growth-octets", "what goes over the wire with ever more mail", ("B",))):
        growing = [figure for figure in figures if figure["kind"] == "growth" and figure["unit"] in units]
        if growing:
            jobs.append((f"{name}.svg", growth, [title, growing]))
    compared = [row for row in rows if row.measure in ("P5", "P6", "P7") and row.goal and row.ours_samples and row.floor_samples]
    if compared:
        jobs.append(("reading.svg", reading, [compared]))
    for name, function, data in jobs:
        try:
            function(folder / name, *data)
            made.append(name)
        except RuntimeError as error:
            say(f"no {name}: {error}")
    return made
