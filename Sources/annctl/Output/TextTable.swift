import AnnexCore

/// A table for people: columns as wide as their widest cell, numbers to the right.
struct TextTable {
    var headings: [String]
    var rows: [[String]] = []
    /// Columns that hold numbers.
    var rightAligned: Set<Int> = []
    /// Cells longer than this are cut, with "…".
    var maximumCellWidth = 100

    func render(indent: String = "") -> String {
        let cells = ([self.headings] + self.rows).map { row in row.map(self.fit) }
        let columns = self.headings.count
        let widths = (0..<columns).map { column in cells.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        func line(_ row: [String]) -> String {
            let padded = (0..<columns).map { column in
                let cell = column < row.count ? row[column] : ""
                let blanks = String(repeating: " ", count: widths[column] - cell.count)
                return self.rightAligned.contains(column) ? blanks + cell : cell + blanks
            }
            return indent + Self.trimmed(padded.joined(separator: "  "))
        }
        var lines = cells.map(line)
        lines.insert(indent + widths.map { String(repeating: "─", count: $0) }.joined(separator: "  "), at: 1)
        return lines.joined(separator: "\n")
    }

    /// Tab-separated, without headings, for programs.
    func renderTSV() -> String { self.rows.map { $0.joined(separator: "\t") }.joined(separator: "\n") }

    private func fit(_ cell: String) -> String {
        cell.count > self.maximumCellWidth ? cell.prefix(self.maximumCellWidth - 1) + "…" : cell
    }

    private static func trimmed(_ text: String) -> String {
        var text = text[...]
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
