package import AnnexCore

/// Reads events as text, a line each, for whoever sends them on. Every line of the file comes out, whatever is in it.
/// Gzip is told by content. One thread uses it. It holds a line.
///
/// TSV and CSV are read as `InteractionText` reads them; a JSON object a line has the members user, item and perhaps
/// weight and time.
package final class EventLines {
    package enum Format: String, CaseIterable, Sendable {
        case tsv, csv, jsonl
    }

    package struct Line: Sendable {
        package enum Content: Sendable {
            case event(InteractionEntry)
            /// The line has an error, which the text tells.
            case problem(String)
            /// The line is blank, or it is the heading.
            case nothing
        }

        /// Holds the line as it was, without its end.
        package var text: [UInt8]
        package var content: Content
    }

    package let format: Format
    private let stream: ByteStream
    private let lines: InteractionLines

    /// - Parameters:
    ///   - format: nil for what the name's ending says: `.tsv`, `.csv`, `.jsonl` or `.ndjson`, each also with `.gz`.
    ///   - columns: of TSV and CSV; nil for what the heading says, or user, item, weight, time.
    /// - Throws: `.usage` where nothing says the format, and for columns of JSON; `.badInput` where the first lines leave open
    ///   what they mean, and where their times are in another unit than milliseconds; as `ByteStream`.
    package init(_ path: String, format: Format?, columns: InteractionColumns? = nil) throws(AnnexError) {
        let ending = FileEnding(path).name
        guard let format = format ?? Format(rawValue: ending == "ndjson" ? "jsonl" : ending) else {
            throw AnnexError(
                .usage,
                "the file's ending says nothing of its format",
                at: path,
                hint: "Say it: --format tsv, csv or jsonl"
            )
        }
        guard columns == nil || format != .jsonl else {
            throw AnnexError(
                .usage,
                "JSON names its members, and has no columns",
                at: path,
                hint: "Leave --columns out"
            )
        }
        self.format = format
        self.stream = try ByteStream(path: path, byContent: true)
        let kind: InteractionLines.Format =
            switch format {
            case .tsv: .delimited(.tab, columns)
            case .csv: .delimited(.comma, columns)
            case .jsonl: .json
            }
        self.lines = try InteractionLines(self.stream, format: kind)
        if let problem = self.lines.problemOfTimes() {
            throw AnnexError(
                .badInput,
                problem.reason,
                at: "\(path):\(problem.row + 1)",
                hint: "Mend all times of the file; nothing was sent"
            )
        }
    }

    /// Returns the next line; nil at the end.
    ///
    /// - Throws: `.badInput` where a line has more than 16 MiB, and where packed data is damaged or cut.
    package func next() throws(AnnexError) -> Line? {
        guard let line = try self.lines.next() else { return nil }
        let content: Line.Content =
            switch line.content {
            case .entry(let entry): .event(entry)
            case .problem(let problem):
                .problem(problem.column.map { "column \($0 + 1): \(problem.reason)" } ?? problem.reason)
            case .nothing: .nothing
            }
        return Line(text: line.text, content: content)
    }

    /// Returns how much of the file was read, as a share.
    package func fractionRead() throws(AnnexError) -> Double { try self.stream.fractionRead() }
}
