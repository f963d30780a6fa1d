import AnnexCore

/// Reads CSV and TSV, which have a row per line. Fields may stand in double quotes, as Python's csv module reads them,
/// but not over several lines.
///
/// Which column holds ids, the caller says, or a heading by the first column's name, or the first field, where it is no
/// number in most of the first good rows. Where the first column has whole numbers that all differ, and no other has, it
/// may hold ids or components: that is an error, which says how to say it.
final class DelimitedReader: LineRowReader {
    private let separator: Separator
    private let given: IdColumn?
    private var heading: DelimitedHeading?
    private var sawFirst = false
    /// It is nil until it is known; then where ids are, or that they are nowhere.
    private var column: IdColumn?

    init(
        _ stream: ByteStream,
        gate: RowGate,
        separator: Separator,
        idColumn: IdColumn? = nil
    ) throws(AnnexError) {
        (self.separator, self.given) = (separator, idColumn)
        try super.init(stream, gate: gate)
        try self.begin()
    }

    override func parse(_ line: [UInt8]) throws(AnnexError) -> TextRow? {
        if line.allSatisfy({ $0 == 0x20 || ($0 == 0x09 && self.separator != .tab) }) { return nil }
        guard let fields = DelimitedLine.fields(line, separator: self.separator) else {
            return TextRow(problem: RowProblem("a quote is not closed", hint: Self.quoteHint))
        }
        if !self.sawFirst {
            self.sawFirst = true
            if try self.takeFirst(line, fields) { return nil }
        }
        let column: Int?
        switch self.column {
        case .number(let number)?: column = number
        case nil: column = self.isText(fields[0]) ? 0 : nil
        default: column = nil
        }
        if let column, column >= fields.count {
            let reason = "there is no column \(column + 1) for the id: the row has \(fields.count)"
            return TextRow(problem: RowProblem(reason))
        }
        var row = TextRow(identifier: column.map { Array(fields[$0]) }, identifierColumn: column)
        row.append(fields)
        return row
    }

    private static let quoteHint = "A field that begins with a quote stands in quotes, with \"\" for each quote in it"

    /// Looks at the first line that is not blank. Returns whether it is a heading.
    private func takeFirst(_ line: [UInt8], _ fields: [ArraySlice<UInt8>]) throws(AnnexError) -> Bool {
        if let other = DelimitedLine.otherSeparator(line, than: self.separator) {
            throw DelimitedLine.wrongSeparator(other, self.separator, at: self.stream.path)
        }
        self.heading = DelimitedHeading(fields)
        switch self.given {
        case .named(let name)?:
            guard let number = self.heading?.names.firstIndex(of: name) else {
                let names = self.heading?.names.prefix(20).map { Printable.escape($0) }.joined(separator: ", ")
                throw AnnexError(
                    .usage,
                    "no column is named '\(Printable.escape(name))'",
                    at: self.stream.path,
                    hint: names.map { "The columns are: \($0)" } ?? "There is no heading: say the column's number"
                )
            }
            self.column = .number(number)
        case let given?: self.column = given
        case nil:
            self.column = self.heading?.idColumn
            if let heading, self.column == nil, !heading.identifierColumns.isEmpty { throw self.unsure(heading) }
        }
        return self.heading != nil
    }

    /// Reports that several columns, or one that is not the first, have names of ids.
    private func unsure(_ heading: DelimitedHeading) -> AnnexError {
        let columns = heading.identifierColumns
        let names = columns.map { "'\(Printable.escape(heading.names[$0]))'" }.joined(separator: " and ")
        let best = columns.last { !heading.names[$0].isEmpty } ?? columns[0]
        return AnnexError(
            .badInput,
            "the heading names \(names) in column\(columns.count > 1 ? "s" : "") "
                + columns.map { "\($0 + 1)" }.joined(separator: " and "),
            at: self.stream.path,
            hint: columns.count > 1
                ? "Leave all but one out of the file (pandas: to_csv(…, index=False))"
                : "Say --id-column \(best + 1) where ids are, or --id-column none"
        )
    }

    override func settled(_ sample: [[UInt8]]) throws(AnnexError) {
        guard self.column == nil else { return }
        self.column = self.carriesIdentifiers ? .number(0) : IdColumn.none
        guard !self.carriesIdentifiers, self.dimension > 1 else { return }
        let rows = sample.compactMap { DelimitedLine.fields($0, separator: self.separator) }
        func mayBeIdentifiers(_ column: Int) -> Bool {
            let fields = Set(rows.map { TextNumbers.trimmed($0[column]) })
            return fields.count == rows.count && fields.allSatisfy(Self.isWhole)
        }
        guard mayBeIdentifiers(0), !(1..<self.dimension).contains(where: mayBeIdentifiers) else { return }
        let shown = rows.prefix(3).map { Printable.escape(TextNumbers.trimmed($0[0]), limit: 24) }
        throw AnnexError(
            .badInput,
            "the first column (\(shown.joined(separator: ", "))\(rows.count > 3 ? " …" : "")) may hold ids or components",
            at: self.stream.path,
            hint:
                "Put a heading over the columns (id,f0,f1 …), or say --id-column 1 for ids, --id-column none for components"
        )
    }

    /// Tells whether a field is digits, perhaps with a sign, and with zeros behind a point as programs write a column
    /// of ids that has a gap.
    private static func isWhole(_ field: ArraySlice<UInt8>) -> Bool {
        let parts = field.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard let whole = parts.first, parts.count <= 2 else { return false }
        let digits = whole.first == UInt8(ascii: "-") ? whole.dropFirst() : whole
        return !digits.isEmpty && digits.allSatisfy { (0x30...0x39).contains($0) }
            && (parts.count == 1 || parts[1].allSatisfy { $0 == 0x30 })
    }

    private func isText(_ field: ArraySlice<UInt8>) -> Bool {
        if case .text = TextNumbers.field(field) { return true }
        return false
    }
}
