package import AnnexCore

/// Events as text, a line each, for who sends them on: every line of the file comes out, whatever is in it. Gzip is told
/// by content. Used by one thread; holds a line.
///
/// TSV and CSV are read as `InteractionText` reads them; a JSON object a line has the members user, item and perhaps
/// weight and time.
package final class EventLines {
    package enum Format: String, CaseIterable, Sendable {
        case tsv, csv, jsonl
    }

    package struct Line: Sendable {
        package enum Content: Sendable {
            case event(InteractionText.Entry)
            /// What is wrong with it.
            case problem(String)
            /// A blank line, or the heading.
            case nothing
        }

        /// As it was, without its end.
        package var text: [UInt8]
        package var content: Content
    }

    package let format: Format
    private let stream: ByteStream
    private var row = 0
    private var sawFirst = false
    private var columns = InteractionLine.Columns()

    /// - Parameter format: nil for what the name's ending says: `.tsv`, `.csv`, `.jsonl` or `.ndjson`, each also with `.gz`.
    /// - Throws: `.usage` where neither says it; as `ByteStream`.
    package init(_ path: String, format: Format?) throws(AnnexError) {
        let ending = FileEnding(path).name
        guard let format = format ?? Format(rawValue: ending == "ndjson" ? "jsonl" : ending) else {
            throw AnnexError(
                .usage,
                "the file's ending says nothing of its format",
                at: path,
                hint: "Say it: --format tsv, csv or jsonl"
            )
        }
        self.format = format
        self.stream = try ByteStream(path: path, byContent: true)
        try self.stream.beginText()
    }

    /// The next line; nil at the end.
    ///
    /// - Throws: `.badInput` where a line has more than 16 MiB, and where packed data is damaged or cut.
    package func next() throws(AnnexError) -> Line? {
        guard let text = try self.stream.line() else { return nil }
        defer { self.row += 1 }
        return Line(text: text, content: self.content(text))
    }

    /// How much of the file was read, as a share.
    package func fractionRead() throws(AnnexError) -> Double { try self.stream.fractionRead() }

    private func content(_ text: [UInt8]) -> Line.Content {
        if text.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { return .nothing }
        if self.format == .jsonl { return Self.content(InteractionLine.entry(json: text, row: self.row)) }
        let separator = UInt8(ascii: self.format == .tsv ? "\t" : ",")
        guard let fields = DelimitedLine.fields(text, separator: separator) else {
            return .problem("a quote is not closed")
        }
        defer { self.sawFirst = true }
        if !self.sawFirst, let columns = InteractionLine.columns(ofHeading: fields) {
            self.columns = columns
            return .nothing
        }
        return Self.content(InteractionLine.entry(fields, self.columns, row: self.row))
    }

    private static func content(_ result: Result<InteractionText.Entry, InteractionLine.Problem>) -> Line.Content {
        switch result {
        case .success(let entry): .event(entry)
        case .failure(let problem):
            .problem(problem.column.map { "column \($0 + 1): \(problem.reason)" } ?? problem.reason)
        }
    }
}
