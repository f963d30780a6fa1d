import AnnexBuild

/// What the recall table looks like, here and in `inspect`.
enum MeasuredTable {
    /// What queries that leave out their own best get.
    static func line(_ most: Manifest.LeavingOut) -> String {
        let point = most.point
        let effort = point.knob == "exact" ? point.knob : "\(point.knob) \(point.valueText)"
        return
            "With each query's own best \(most.items) left out: \(effort), recall \(Figures.fixed(point.recall, 4)), "
            + "worst query \(Figures.fixed(point.worst, 2))"
    }

    static func render(_ measured: Manifest.Measured) -> String {
        var table = TextTable(
            headings: [measured.chosen.knob, "recall", "lower 95 %", "worst query", ""],
            rightAligned: [0, 1, 2, 3]
        )
        for point in measured.table {
            table.rows.append([
                point.valueText, Figures.fixed(point.recall, 4),
                Figures.fixed(point.recallLowerBound, 4), Figures.fixed(point.worst, 2),
                point == measured.chosen ? "← chosen" : "",
            ])
        }
        return table.render(indent: "  ")
    }
}
