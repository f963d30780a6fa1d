/// Describes one argument of a command. The arity, the reading of options, `COMMAND DOCS` and the reference come from
/// it.
package struct CommandArgument: Sendable {
    package enum Kind: String, Sendable {
        case key, string, integer, double, block, oneof
        case pureToken = "pure-token"
    }

    package var name: String
    package var kind: Kind
    package var token: String?
    package var isOptional = false
    package var isMultiple = false
    package var children: [CommandArgument] = []

    package static func key(_ name: String) -> Self { Self(name: name, kind: .key) }
    package static func string(_ name: String, token: String? = nil) -> Self {
        Self(name: name, kind: .string, token: token)
    }
    package static func integer(_ name: String, token: String? = nil) -> Self {
        Self(name: name, kind: .integer, token: token)
    }
    package static func double(_ name: String, token: String? = nil) -> Self {
        Self(name: name, kind: .double, token: token)
    }
    package static func flag(_ token: String) -> Self {
        Self(name: token.lowercased(), kind: .pureToken, token: token, isOptional: true)
    }
    package static func word(_ token: String) -> Self { Self(name: token.lowercased(), kind: .pureToken, token: token) }
    package static func block(_ name: String, token: String? = nil, _ children: [Self]) -> Self {
        Self(name: name, kind: .block, token: token, children: children)
    }
    package static func oneof(_ name: String, token: String? = nil, _ children: [Self]) -> Self {
        Self(name: name, kind: .oneof, token: token, children: children)
    }

    /// Describes `[INDEX name]`, which every command about users has.
    package static let index = CommandArgument.string("name", token: "INDEX").optional

    package var optional: Self {
        var copy = self
        copy.isOptional = true
        return copy
    }
    package var multiple: Self {
        var copy = self
        copy.isMultiple = true
        return copy
    }

    /// Returns the argument as a manual shows it: `[COUNT n]`, `<ELE element | FP32 blob>`, `item [item …]`.
    package var syntax: String {
        var text: String
        switch self.kind {
        case .pureToken: text = self.token ?? self.name
        case .block: text = self.children.map(\.syntax).joined(separator: " ")
        case .oneof: text = self.children.map(\.syntax).joined(separator: " | ")
        case .key, .string, .integer, .double: text = self.name
        }
        if self.isMultiple { text += " [\(text) …]" }
        if self.kind == .oneof, self.token != nil || !self.isOptional { text = "<\(text)>" }
        if let token, self.kind != .pureToken { text = token + " " + text }
        return self.isOptional ? "[\(text)]" : text
    }
}

/// Says how many words something takes.
struct WordCount: Equatable {
    var fewest: Int
    /// With nil there is no end.
    var most: Int?

    init(fewest: Int, most: Int?) { (self.fewest, self.most) = (fewest, most) }

    init(exactly count: Int) { self.init(fewest: count, most: count) }

    static func + (one: Self, other: Self) -> Self {
        var most: Int?
        if let first = one.most, let second = other.most { most = first + second }
        return Self(fewest: one.fewest + other.fewest, most: most)
    }

    /// Returns the arity that `COMMAND` gives: the number, or minus the fewest.
    var arity: Int { self.fewest == self.most ? self.fewest : -self.fewest }
}

extension CommandArgument {
    /// Whether the word of an option is in it.
    var hasToken: Bool { self.token != nil || self.children.contains(where: \.hasToken) }

    /// Says how many words of a request it takes.
    var words: WordCount {
        let values: WordCount
        switch self.kind {
        case .pureToken: values = WordCount(exactly: 0)
        case .key, .string, .integer, .double: values = WordCount(exactly: 1)
        case .block: values = self.children.words
        case .oneof:
            let each = self.children.map(\.words)
            let mosts = each.compactMap(\.most)
            values = WordCount(
                fewest: each.map(\.fewest).min() ?? 0,
                most: mosts.count == each.count ? mosts.max() ?? 0 : nil
            )
        }
        var all = values
        if self.token != nil { all = all + WordCount(exactly: 1) }
        if self.isMultiple { all.most = nil }
        if self.isOptional { all.fewest = 0 }
        return all
    }
}

extension [CommandArgument] {
    /// Says how many words of a request all of them take.
    var words: WordCount { self.reduce(WordCount(exactly: 0)) { $0 + $1.words } }
}
