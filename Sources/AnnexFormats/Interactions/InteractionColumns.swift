package import AnnexCore

/// Says which fields of a line of interactions are which. All are counted from 0.
package struct InteractionColumns: Sendable, Equatable {
    package enum Role: String, Sendable, CaseIterable {
        case user, item, weight, time
        /// The field is passed over.
        case other = "-"
    }

    let user: Int
    let item: Int
    /// Holds the places of fields that a line need not have. It is nil where no line has one.
    let weight: Int?
    let time: Int?
    /// A line may have so many fields.
    let counts: ClosedRange<Int>

    package static let documentation =
        "user, item, weight and time in the order of the file, - for a column to pass over"

    /// A line has user, item, and perhaps weight and time, where nobody says otherwise.
    static let usual = InteractionColumns(user: 0, item: 1, weight: 2, time: 3, counts: 2...4)

    private init(user: Int, item: Int, weight: Int?, time: Int?, counts: ClosedRange<Int>) {
        (self.user, self.item, self.weight, self.time, self.counts) = (user, item, weight, time, counts)
    }

    /// Reads `user,item,time` and the like.
    ///
    /// - Throws: `.usage` for an unknown word, one that comes twice, and without user and item.
    package init(parsing text: String) throws(AnnexError) {
        var roles: [Role] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let role = Role(rawValue: String(word)) else {
                throw Self.wrong("'\(Printable.escape(String(word), limit: 40))' is no column", text)
            }
            roles.append(role)
        }
        if let twice = Role.allCases.first(where: { role in role != .other && roles.count { $0 == role } > 1 }) {
            throw Self.wrong("'\(twice.rawValue)' comes twice", text)
        }
        guard let user = roles.firstIndex(of: .user), let item = roles.firstIndex(of: .item) else {
            throw Self.wrong("there must be a user and an item", text)
        }
        self.init(
            user: user,
            item: item,
            weight: roles.firstIndex(of: .weight),
            time: roles.firstIndex(of: .time),
            counts: roles.count...roles.count
        )
    }

    /// Returns the text from which `init` makes it.
    package var text: String {
        (0..<self.counts.upperBound).map { column in
            switch column {
            case self.user: Role.user
            case self.item: Role.item
            case self.weight: Role.weight
            case self.time: Role.time
            default: Role.other
            }
        }
        .map(\.rawValue).joined(separator: ",")
    }

    private static func wrong(_ what: String, _ text: String) -> AnnexError {
        AnnexError(
            .usage,
            "columns '\(Printable.escape(text, limit: 80))': \(what)",
            hint: "They are \(Self.documentation), as in user,item,time"
        )
    }
}

extension InteractionColumns {
    private static let userNames: Set<String> = [
        "user", "userid", "uid", "session", "sessionid", "customer", "customerid",
    ]
    private static let itemNames: Set<String> = ["item", "product", "sku"]
    private static let timeNames: Set<String> = ["time", "timestamp", "ts", "timems", "eventtime", "unixtime"]
    private static let weightNames: Set<String> = [
        "weight", "rating", "score", "value", "count", "plays", "playcount", "clicks", "views", "quantity", "strength",
        "confidence", "frequency",
    ]

    /// Tells whether a first line names the columns, where somebody says what they are: it is a heading by its names,
    /// or has a word where a number must stand.
    static func isHeading(_ fields: [ArraySlice<UInt8>], _ columns: InteractionColumns) -> Bool {
        let numbers = [columns.weight, columns.time].compactMap(\.self).filter { $0 < fields.count }
        let words = numbers.filter { if case .text = TextNumbers.field(fields[$0]) { true } else { false } }
        if !words.isEmpty, words.count == numbers.count { return true }
        guard columns.user < fields.count, columns.item < fields.count else { return false }
        let named = try? Self.ofHeading([fields[columns.user], fields[columns.item]])
        return named?.user == 0
    }

    /// Reads a heading: a field that names users, one that names items or ends in "id", in whatever order; the others
    /// name weight or time. Columns that it does not name follow as usual.
    ///
    /// - Returns: nil where the fields are no heading.
    /// - Throws: the column that is neither, with what it is called.
    static func ofHeading(_ fields: [ArraySlice<UInt8>]) throws(RowProblem) -> InteractionColumns? {
        let names = fields.map { field in
            String(decoding: TextNumbers.trimmed(field), as: UTF8.self).lowercased()
                .filter { $0 != "_" && $0 != "-" && $0 != " " }
        }
        guard let user = names.firstIndex(where: { Self.userNames.contains($0) }),
            let item = names.indices.first(where: { column in
                column != user && (Self.itemNames.contains(names[column]) || names[column].hasSuffix("id"))
            })
        else { return nil }
        var (weight, time): (Int?, Int?) = (nil, nil)
        for column in names.indices where column != user && column != item {
            if weight == nil, Self.weightNames.contains(names[column]) {
                weight = column
            } else if time == nil, Self.timeNames.contains(names[column]) {
                time = column
            } else {
                let name = Printable.escape(TextNumbers.trimmed(fields[column]), limit: 40)
                throw RowProblem(
                    "the heading's '\(name)' is neither known for a weight nor for a time",
                    column: column,
                    hint: "Say what the columns are, as in --columns "
                        + names.indices.map { $0 == user ? "user" : $0 == item ? "item" : "-" }.joined(separator: ",")
                )
            }
        }
        // The other fields come behind, the weight first.
        var free = (names.count..<4).makeIterator()
        if weight == nil { weight = free.next() }
        if time == nil { time = free.next() }
        return InteractionColumns(user: user, item: item, weight: weight, time: time, counts: 2...4)
    }
}
