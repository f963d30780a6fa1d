import AnnexCore

/// Reads the first line of a table of factors, where it names the columns.
struct DelimitedHeading {
    /// Names have no blanks at their ends.
    let names: [String]
    /// Tells whether the columns are numbered and not named.
    private let isNumbering: Bool

    private static let identifierNames: Set<String> = ["", "item", "user", "key", "word"]

    /// Returns nil for a row. A heading's last field is not blank and none is a number, or its fields are the numbers
    /// of columns, as pandas writes them: `0,1,2`, `id,0,1,2`.
    init?(_ fields: [ArraySlice<UInt8>]) {
        self.names = fields.map { String(decoding: TextNumbers.trimmed($0), as: UTF8.self) }
        let isNamed =
            self.names.last != ""
            && fields.allSatisfy { field in
                if case .text = TextNumbers.field(field) { return true }
                return false
            }
        let saysIdentifier = Self.isIdentifier(self.names[0])
        self.isNumbering = Self.isNumbering(self.names[...])
        guard isNamed || self.isNumbering || (saysIdentifier && Self.isNumbering(self.names.dropFirst())) else {
            return nil
        }
    }

    /// Returns the column of ids, by the names alone. It is nil where the names leave it open.
    var idColumn: IdColumn? {
        if self.identifierColumns == [0] { return .number(0) }
        return self.isNumbering || (self.isSeries && self.identifierColumns.isEmpty) ? IdColumn.none : nil
    }

    /// Lists the columns whose names are those of ids, counted from 0: empty (pandas' index), item, user, key, word, or
    /// ending in "id" (id, item_id, movieId).
    var identifierColumns: [Int] { self.names.indices.filter { Self.isIdentifier(self.names[$0]) } }

    /// Tells whether the first two are one name with different numbers, as in `f0,f1`.
    private var isSeries: Bool {
        guard self.names.count > 1, self.names[0] != self.names[1] else { return false }
        let stems = self.names.prefix(2).map { name in
            String(name.reversed().drop(while: \.isNumber).reversed())
        }
        return stems[0] == stems[1] && stems[0] != self.names[0] && stems[1] != self.names[1]
    }

    private static func isIdentifier(_ name: String) -> Bool {
        let name = name.lowercased()
        return Self.identifierNames.contains(name) || name.hasSuffix("id")
    }

    /// Tells whether these are 0, 1, 2 and so on: at least three, so that a row of two is not taken for it.
    private static func isNumbering(_ names: ArraySlice<String>) -> Bool {
        names.count >= 3 && zip(0..., names).allSatisfy { "\($0)" == $1 }
    }
}
