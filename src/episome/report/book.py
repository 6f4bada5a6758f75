"""All files of a report by name: for each sheet PNG, CSV and two JSON, then the table and the dashboard."""

from episome.report import checks, matrices, page, scores, trainings, values, vega, words
from episome.report.cells import Grid
from episome.report.drawing import png


def files(grid: Grid) -> dict[str, bytes]:
    """File name → its bytes: the same runs give the same.

    ``<sheet>.json`` is a template of ``dvc plots``, ``<sheet>.vl.json`` the same with its data inside.
    """
    sheets = [
        matrices.matrix(grid),
        matrices.distance(grid),
        trainings.dynamics(grid),
        trainings.convergence(grid),
        values.performance(grid),
    ]
    made: dict[str, bytes] = {}
    for sheet in sheets:
        made[f"{sheet.name}.png"] = png(sheet, grid.marks)
        made[f"{sheet.name}.csv"] = page.csv(sheet.data).encode()
        made[f"{sheet.name}.json"] = vega.dumped(vega.template(sheet.name, grid.marks)).encode()
        made[f"{sheet.name}.vl.json"] = vega.filled(sheet.name, sheet.data, grid.marks).encode()
    frame, held = scores.table(grid), checks.all_of(grid)
    made["table.csv"] = page.csv(frame).encode()
    made["table.md"] = words.markdown(grid, frame, sheets[-1].data, held, matrices.correlated(grid)).encode()
    made["dashboard.html"] = page.page(grid, sheets, frame, held).encode()
    return made
