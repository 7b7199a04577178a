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
set xlabel "messages in the account"
set ylabel "{unit}"
set format x "%.0s%c"
set grid
set key top left
plot for [column=2:{columns}] $data using 1:column with linespoints linewidth 2 pointtype 7 title columnheader(column)
"""
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


def growth(path, figure):
    series = figure["series"]
    sizes = sorted({size for values in series.values() for size in values})
    lines = ["messages " + " ".join(quoted(name) for name in series)]
    lines += [" ".join(str(value) for value in [size, *(statistics.median(values[size]) for values in series.values())]) for size in sizes]
    draw(path, figure["title"], lines, GROWTH.format(unit=UNITS[figure["unit"]], columns=len(series) + 1))


def reading(path, rows):
    draw_bars(path, "reading in the mount", "times as long as a native Maildir", [(row.what, row.ratio) for row in rows])


def draw_all(folder, figures, rows, say):
    """Returns the files. Without gnuplot there are none, which was said before."""
    if not shutil.which("gnuplot"):
        return []
    made = []
    compared = [row for row in rows if row.measure in ("P5", "P6", "P7") and row.goal and row.ours_samples and row.floor_samples]
    jobs = [(f"{figure['measure'].lower()}{figure['suffix']}.svg", {"bars": bars, "growth": growth}[figure["kind"]], figure)
            for figure in figures] + ([("reading.svg", reading, compared)] if compared else [])
    for name, function, data in jobs:
        try:
            function(folder / name, data)
            made.append(name)
        except RuntimeError as error:
            say(f"no {name}: {error}")
    return made
