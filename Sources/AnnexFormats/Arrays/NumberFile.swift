package import AnnexCore

/// Reads one number per row: a text file has one per line, or the file is a one-dimensional `.npy` (`.npz`) of numbers.
package enum NumberFile {
    package struct Content: Sendable {
        /// Holds numbers in the order of the file, with nil in the place of a bad one where bad rows are skipped.
        package var values: [Float?] = []
        package var rejects: [RejectedRow] = []
    }

    /// Reads all, 8 bytes a row; with `offset` on top, in float64, then rounded to float32.
    ///
    /// - Throws: `.badInput` with file and row (counted from 1) for what is no number of a size that searches compute with, unless bad
    ///   rows are skipped;
    ///   for another array or a file that is cut always.
    package static func read(
        _ specification: String,
        adding offset: Double = 0,
        skipBadRows: Bool
    ) throws(AnnexError) -> Content {
        let source = FactorSource(specification)
        var gate = RowGate(path: source.path, skipBadRows: skipBadRows)
        var values: [Float?] = []
        func take(_ value: Float, _ gate: inout RowGate) throws(AnnexError) {
            let sum = Float(Double(value) + offset)
            guard Double(abs(sum)) <= Limits.vectorLengths.upperBound else {
                let reason =
                    value.isNaN
                    ? "the value is not a number"
                    : "the value is above \(Printable.scientific(Limits.vectorLengths.upperBound)) in size"
                try gate.reject(row: values.count, RowProblem(reason))
                return values.append(nil)
            }
            values.append(sum)
        }
        switch FileEnding(source.path).name {
        case "npz":
            try Self.array(try NpzMember.open(source.path, array: source.array)) { value throws(AnnexError) in
                try take(value, &gate)
            }
        case "npy":
            try Self.array(try ByteStream(path: source.path)) { value throws(AnnexError) in try take(value, &gate) }
        default:
            let stream = try ByteStream(path: source.path)
            try stream.beginText()
            while let line = try stream.line() {
                switch TextNumbers.float(line[...]) {
                case .success(let value): try take(value, &gate)
                case .failure(let problem):
                    try gate.reject(row: values.count, RowProblem(problem.reason))
                    values.append(nil)
                }
            }
        }
        return Content(values: values, rejects: gate.rejects)
    }

    private static let blockElements = 1 << 16

    private static func array(
        _ stream: ByteStream,
        _ body: (Float) throws(AnnexError) -> Void
    ) throws(AnnexError) {
        let elements = try NpyElements(stream, name: nil)
        var block: [Float] = []
        while elements.taken < elements.count {
            try elements.floats(min(Self.blockElements, elements.count - elements.taken), into: &block)
            for value in block { try body(value) }
        }
        try elements.checkEnd()
    }
}
