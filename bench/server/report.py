# SPDX-License-Identifier: Apache-2.0
"""Tables, the JSON file and the plot."""
import json
import pathlib
import shutil
import statistics
import subprocess


def median(values):
    return statistics.median(values)


def summary(work, rounds, quick):
    """Medians of one workload. `rounds`: label to one result a round. Ratios are taken in each round, then the median.
    A quick run's numbers are mostly handshakes, so nothing is judged by them."""
    labels = [e.label for e in work.entries if e.label in rounds]
    first = labels[0]
    judged = not quick and first == work.entries[0].label
    table = {}
    for label in labels:
        results = rounds[label]
        row = {key: median([r[key] for r in results]) for key in results[0]}
        cost = 'cpu_us' if 'cpu_us' in results[0] else 'pss_idle'
        row['ratio'] = median([r[cost] / f[cost] for r, f in zip(results, rounds[first])])
        costs = [r[cost] for r in results]
        row['spread'] = (max(costs) - min(costs)) / median(costs) / 2
        if judged and label in work.bars:
            row.update(bar=work.bars[label], met=row['ratio'] >= work.bars[label])
        if judged and label in work.gains:
            gain = median([r['rate'] / f['rate'] for r, f in zip(results, rounds[first])])
            row.update(least_gain=work.gains[label], gain=gain, met=gain >= work.gains[label])
        if judged and label in work.most:
            row.update(most=work.most[label], met=row['ratio'] <= work.most[label])
        row['rounds'] = results
        table[label] = row
    return {'title': work.title, 'kind': work.kind, 'servers': table}


def verdict(row):
    if 'bar' in row:
        return f"{row['bar']:>7.2f}  {'ok' if row['met'] else 'UNDER'}"
    if 'most' in row:
        return f"{'<=':>3}{row['most']:.2f}  {'ok' if row['met'] else 'OVER'}"
    if 'gain' in row:
        return f"{row['least_gain']:>7.2f}  {'ok' if row['met'] else 'UNDER'}, req/s {row['gain']:.2f}"
    return ''


HEAD_HTTP = f"{'workload':<30}{'server':<15}{'req/s':>9}{'CPU us':>9}{'+-':>6}{'/ours':>8}{'want':>8}"
HEAD_MEMORY = f"{'memory, PSS':<30}{'server':<15}{'start KiB':>10}{'idle KiB':>10}{'kB of 1k':>9}{'of 10k':>8}{'/ours':>8}{'want':>8}"


def table_http(item):
    title = item['title']
    for label, row in item['servers'].items():
        yield (f"{title:<30}{label:<15}{row['rate']:>9.0f}{row['cpu_us']:>9.2f}{row['spread'] * 100:>5.0f}%"
               f"{row['ratio']:>8.2f} {verdict(row)}").rstrip()
        title = ''


def table_memory(item):
    title = item['title']
    for label, row in item['servers'].items():
        yield (f"{title:<30}{label:<15}{row['pss_start'] / 1024:>10.0f}{row['pss_idle'] / 1024:>10.0f}"
               f"{row['few_each'] / 1000:>9.1f}{row['many_each'] / 1000:>8.1f}{row['ratio']:>8.2f} {verdict(row)}").rstrip()
        title = ''


def show(item):
    lines = table_memory(item) if item['kind'] == 'memory' else table_http(item)
    return '\n'.join(lines)


def head(kind):
    return HEAD_MEMORY if kind == 'memory' else HEAD_HTTP


def write_json(path, machine, settings, items):
    pathlib.Path(path).write_text(json.dumps({'machine': machine, 'settings': settings, 'workloads': items}, indent=1) + '\n')


PLOT = '''set terminal pngcairo size 1100,520 font "sans,10"
set output "{png}"
set title "Processor time of a request, zeroserve = 1 (lower is better; cut at {top})"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set grid ytics lc rgb "#dddddd"
set yrange [0:{top}]
set xtics rotate by -35 scale 0
set key outside top center horizontal
set rmargin 12
set border 3
plot {plots}
'''
COLOURS = {'zeroserve': '#c0392b', 'nginx': '#27ae60', 'h2o': '#2980b9', 'caddy': '#8e44ad', 'haproxy': '#f39c12'}


def plot(folder, items):
    """A PNG of all ratios; without gnuplot, a line that says so."""
    rows = [i for i in items.values() if i['kind'] != 'memory' and 'nginx' in i['servers']]
    if not rows or not shutil.which('gnuplot'):
        return 'no plot: ' + ('gnuplot is not installed' if rows else 'nothing to compare')
    names = [n for n in COLOURS if any(n in r['servers'] for r in rows)]
    data = folder / 'server.dat'
    lines = ['workload ' + ' '.join(names)]
    for row in rows:
        values = [f"{row['servers'][n]['ratio']:.3f}" if n in row['servers'] else '-' for n in names]
        lines.append(f'"{row["title"]}" ' + ' '.join(values))
    data.write_text('\n'.join(lines) + '\n')
    tallest = max(s['ratio'] for r in rows for s in r['servers'].values())
    png = folder / 'server.png'
    plots = ', '.join(f'"{data}" using {k + 2}:xtic(1) title "{n}" lc rgb "{COLOURS[n]}"' for k, n in enumerate(names))
    script = PLOT.format(png=png, top=f'{min(tallest * 1.1, 4):.1f}', plots=plots)
    script = script.replace('set style data', 'set datafile missing "-"\nset style data')
    run = subprocess.run(['gnuplot'], input=script.encode(), capture_output=True, check=False)
    return f'plot: {png}' if run.returncode == 0 else 'no plot: ' + run.stderr.decode(errors='replace').strip()
