import AnnexCore

/// Reads a line of CSV or TSV, as Python's csv module does (dialects `excel` and `excel-tab`).
enum DelimitedLine {
    private static let quote = UInt8(ascii: "\"")

    /// Returns the fields of a line; nil where a quote is not closed on it.
    ///
    /// A quote counts at the beginning of a field only: up to the next single one separators are text, and `""` is a quote.
    /// Anywhere else a quote is text like any other, so `12" disc` is what it says. What stands between a closing quote
    /// and the separator belongs to the field.
    static func fields(_ line: [UInt8], separator: Separator) -> [ArraySlice<UInt8>]? {
        guard line.contains(Self.quote) else {
            return line.split(separator: separator.rawValue, omittingEmptySubsequences: false)
        }
        var fields: [ArraySlice<UInt8>] = []
        var index = 0
        while true {
            guard let field = Self.field(line, from: &index, separator: separator.rawValue) else { return nil }
            fields.append(field)
            guard index < line.count else { return fields }
            // A separator at the very end of the line has an empty field behind it.
            index += 1
        }
    }

    /// Returns the field that begins at `index`, which moves to the separator behind it or to the end.
    private static func field(_ line: [UInt8], from index: inout Int, separator: UInt8) -> ArraySlice<UInt8>? {
        guard index < line.count, line[index] == Self.quote else {
            let begin = index
            index = line[begin...].firstIndex(of: separator) ?? line.count
            return line[begin..<index]
        }
        var text: [UInt8] = []
        index += 1
        while true {
            guard let next = line[index...].firstIndex(of: Self.quote) else { return nil }
            text += line[index..<next]
            index = next + 1
            guard index < line.count, line[index] == Self.quote else { break }
            text.append(Self.quote)
            index += 1
        }
        let end = line[index...].firstIndex(of: separator) ?? line.count
        text += line[index..<end]
        index = end
        return text[...]
    }

    /// Returns the separator that the line seems to have instead of `separator`; nil where that does.
    ///
    /// Another one is likely where `separator` is nowhere outside quotes, and in a CSV where there are as many semicolons as
    /// commas: then commas stand in numbers, or ids hold semicolons and are not quoted, and the line does not say which.
    static func otherSeparator(_ line: [UInt8], than separator: Separator) -> Separator? {
        let counts = Self.counts(line)
        let own = counts[separator] ?? 0
        if separator == .comma, let semicolons = counts[.semicolon], semicolons >= max(1, own) { return .semicolon }
        guard own == 0 else { return nil }
        return Separator.allCases.filter { $0 != separator }.max { (counts[$0] ?? 0) < (counts[$1] ?? 0) }.flatMap {
            (counts[$0] ?? 0) > 0 ? $0 : nil
        }
    }

    static func wrongSeparator(_ other: Separator, _ separator: Separator, at path: String) -> AnnexError {
        AnnexError(
            .badInput,
            "the fields seem to be separated by \(other.name), not by \(separator.name)",
            at: path,
            hint: other == .semicolon
                ? "Save it with commas, and with points in numbers; ids that hold semicolons stand in quotes"
                : "Name it .\(other == .tab ? "tsv" : "csv"); ids that hold \(other.name) stand in quotes"
        )
    }

    /// Returns how often each separator stands outside quotes, whichever of them parts the fields.
    private static func counts(_ line: [UInt8]) -> [Separator: Int] {
        var counts: [Separator: Int] = [:]
        var isQuoted = false
        var isAtStart = true
        for byte in line {
            // A doubled quote ends a quoted part and begins the next.
            let wasQuoted = isQuoted
            if byte == Self.quote { isQuoted = isQuoted ? false : isAtStart }
            isAtStart = wasQuoted && byte == Self.quote
            guard !isQuoted, let separator = Separator(rawValue: byte) else { continue }
            counts[separator, default: 0] += 1
            isAtStart = true
        }
        return counts
    }
}
