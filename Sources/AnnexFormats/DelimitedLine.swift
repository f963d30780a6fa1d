/// A line of CSV or TSV.
enum DelimitedLine {
    /// Its fields, which may stand in double quotes (`""` for a quote); nil where a quote is not closed.
    static func fields(_ line: [UInt8], separator: UInt8) -> [ArraySlice<UInt8>]? {
        guard line.contains(UInt8(ascii: "\"")) else {
            return line.split(separator: separator, omittingEmptySubsequences: false)
        }
        var fields: [ArraySlice<UInt8>] = [[]]
        var quoted = false
        var index = 0
        while index < line.count {
            let byte = line[index]
            if byte == UInt8(ascii: "\"") {
                if quoted, index + 1 < line.count, line[index + 1] == byte {
                    fields[fields.count - 1].append(byte)
                    index += 1
                } else {
                    quoted.toggle()
                }
            } else if byte == separator, !quoted {
                fields.append([])
            } else {
                fields[fields.count - 1].append(byte)
            }
            index += 1
        }
        return quoted ? nil : fields
    }
}
