import AnnexCore

/// Reads lines of interactions, whatever is in them, and finds what their columns are. One thread uses it. It holds a
/// line, and some at the beginning.
final class InteractionLines {
    enum Format {
        case delimited(Separator, InteractionColumns?)
        /// Each line is a JSON object with the members user, item and perhaps weight and time.
        case json
    }

    struct Line {
        enum Content {
            case entry(InteractionEntry)
            case problem(RowProblem)
            /// The line is blank, or it is the heading.
            case nothing
        }

        /// The line without its end.
        var text: [UInt8]
        /// Counted from 0.
        var row: Int
        var content: Content
    }

    private let stream: ByteStream
    private let format: Format
    private var columns = InteractionColumns.usual
    /// Tells whether the columns are nobody's word but the usual ones.
    private var isGuess = false
    private var row = 0
    private var sawFirst = false
    /// Holds lines that were read ahead, the last one first.
    private var ahead: [Line] = []

    /// At most so many lines are read ahead, with so many bytes.
    private static let sample = (lines: 100, bytes: 1 << 20)

    /// - Throws: `.badInput` where the first lines leave open what they mean; as `ByteStream`.
    init(_ stream: ByteStream, format: Format) throws(AnnexError) {
        (self.stream, self.format) = (stream, format)
        try stream.beginText()
        if case .delimited(_, let columns?) = format { self.columns = columns }
        var bytes = 0
        while self.ahead.count < Self.sample.lines, bytes < Self.sample.bytes, let line = try self.read() {
            bytes += line.text.count
            self.ahead.append(line)
        }
        if self.isGuess { try self.checkGuess() }
        self.ahead.reverse()
    }

    /// Looks at the first lines, while they are still ahead, and says where all times are in another unit, and in
    /// which.
    func problemOfTimes() -> (row: Int, reason: String)? {
        var first: (Int, String)?
        for line in self.ahead.reversed() {
            switch line.content {
            case .entry(let entry): if entry.time != nil { return nil }
            case .problem(let problem):
                guard first == nil, problem.isUnitOfTime else { continue }
                first = (line.row, problem.reason)
            case .nothing: continue
            }
        }
        return first
    }

    /// Returns the next line; nil at the end.
    func next() throws(AnnexError) -> Line? {
        if let line = self.ahead.popLast() { return line }
        return try self.read()
    }

    /// Counted from 0; nil where there is none.
    func column(of role: InteractionColumns.Role) -> Int? {
        guard case .delimited = self.format else { return nil }
        return switch role {
        case .user: self.columns.user
        case .item: self.columns.item
        case .weight: self.columns.weight
        case .time: self.columns.time
        case .other: nil
        }
    }

    private func read() throws(AnnexError) -> Line? {
        guard let text = try self.stream.line() else { return nil }
        defer { self.row += 1 }
        return Line(text: text, row: self.row, content: try self.content(text))
    }

    private func content(_ text: [UInt8]) throws(AnnexError) -> Line.Content {
        if text.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { return .nothing }
        let result: Result<InteractionEntry, RowProblem>
        switch self.format {
        case .json: result = InteractionLine.entry(json: text, row: self.row)
        case .delimited(let separator, let given):
            guard let fields = DelimitedLine.fields(text, separator: separator) else {
                let hint = "A field that begins with a quote stands in quotes, with \"\" for each quote in it"
                return .problem(RowProblem("a quote is not closed", hint: hint))
            }
            if !self.sawFirst {
                self.sawFirst = true
                if try self.takeFirst(text, fields, separator, given) { return .nothing }
            }
            result = InteractionLine.entry(fields, self.columns, row: self.row)
        }
        return switch result {
        case .success(let entry): .entry(entry)
        case .failure(let problem): .problem(problem)
        }
    }

    /// Looks at the first line that is not blank. Returns whether it is a heading.
    private func takeFirst(
        _ text: [UInt8],
        _ fields: [ArraySlice<UInt8>],
        _ separator: Separator,
        _ given: InteractionColumns?
    ) throws(AnnexError) -> Bool {
        if let other = DelimitedLine.otherSeparator(text, than: separator) {
            throw DelimitedLine.wrongSeparator(other, separator, at: self.stream.path)
        }
        if given != nil { return InteractionColumns.isHeading(fields, self.columns) }
        do throws(RowProblem) {
            guard let columns = try InteractionColumns.ofHeading(fields) else {
                self.isGuess = true
                return false
            }
            self.columns = columns
            return true
        } catch {
            let location = "\(self.stream.path):\(self.row + 1)" + (error.column.map { ":\($0 + 1)" } ?? "")
            throw AnnexError(.badInput, error.reason, at: location, hint: error.hint)
        }
    }

    /// A third column of times must not become the weight.
    private func checkGuess() throws(AnnexError) {
        guard case .delimited(let separator, _) = self.format else { return }
        for line in self.ahead {
            guard let fields = DelimitedLine.fields(line.text, separator: separator), fields.count > 2,
                case .number(let value) = TextNumbers.field(fields[2])
            else { continue }
            guard EventTime.isLikely(Double(value)) else { return }
            let shown = Printable.escape(TextNumbers.trimmed(fields[2]), limit: 40)
            throw AnnexError(
                .badInput,
                "the third column seems to hold times (\(shown)), where without a heading weights stand",
                at: "\(self.stream.path):\(line.row + 1):3",
                hint: "Say what the columns are: --columns user,item,\(fields.count > 3 ? "time,weight" : "time")"
            )
        }
    }
}
