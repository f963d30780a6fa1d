package import AnnexCore

/// Rules for a factor file that its name does not tell.
package struct FactorRules: Sendable, Equatable {
    package var skipBadRows: Bool
    /// Searches with it set the bounds of rows' lengths; nil for rows that nobody searches by.
    package var metric: Metric?
    /// Says which column of a `.csv` or `.tsv` has ids. With nil it is the one that the file itself tells.
    package var idColumn: IdColumn?

    package init(skipBadRows: Bool = false, metric: Metric? = nil, idColumn: IdColumn? = nil) {
        (self.skipBadRows, self.metric, self.idColumn) = (skipBadRows, metric, idColumn)
    }
}

/// Names `FILE`, or `FILE:NAME` for one array of an `.npz`.
package struct FactorSource: Sendable, Equatable {
    package let path: String
    package let array: String?

    package init(_ specification: String) {
        if let colon = specification.lastIndex(of: ":"), FileEnding(String(specification[..<colon])).name == "npz" {
            self.path = String(specification[..<colon])
            self.array = String(specification[specification.index(after: colon)...])
        } else {
            self.path = specification
            self.array = nil
        }
    }

    /// What the ending of the file's name says; nil where it says nothing.
    private var format: FactorFormat? { FactorFormat(ending: FileEnding(self.path).name) }

    /// Tells whether the file is a `.csv` or `.tsv`.
    package var isDelimited: Bool { self.format == .csv || self.format == .tsv }

    /// Opens a file by the ending of its name, `.gz` taken off.
    ///
    /// - Throws: `.notFound` where there is no such file; `.badInput` where its beginning is not of that format, where
    ///   it is no regular file, where a text has no row that can be used, and where it does not say which column holds ids.
    package func open(_ rules: FactorRules) throws(AnnexError) -> any FactorReader {
        let gate = RowGate(path: self.path, skipBadRows: rules.skipBadRows, metric: rules.metric)
        if self.format == .npz {
            return try NpyReader(try NpzMember.open(self.path, array: self.array), gate: gate)
        }
        let stream = try ByteStream(path: self.path)
        switch self.format {
        case .npy, .npz: return try NpyReader(stream, gate: gate)
        case .fvecs: return try FvecsReader(stream, gate: gate)
        case .csv: return try DelimitedReader(stream, gate: gate, separator: .comma, idColumn: rules.idColumn)
        case .tsv: return try DelimitedReader(stream, gate: gate, separator: .tab, idColumn: rules.idColumn)
        case .jsonl: return try JSONLinesReader(stream, gate: gate)
        case .word2vecText: return try Word2VecTextReader(stream, gate: gate)
        case .word2vecBinary: return try Word2VecBinaryReader(stream, gate: gate)
        case nil:
            throw AnnexError(
                .badInput,
                "the file's ending says nothing of its format",
                at: self.path,
                hint: "Rename it to one of these endings: " + FactorFormat.documentation
            )
        }
    }

    /// Opens a file without rules for lengths and columns.
    package func open(skipBadRows: Bool) throws(AnnexError) -> any FactorReader {
        try self.open(FactorRules(skipBadRows: skipBadRows))
    }
}
