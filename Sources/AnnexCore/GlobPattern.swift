/// Matches bytes against a pattern with `*`, `?`, `[a-z]`, `[^a]` and backslash. ASCII case does not count where that
/// is asked for.
///
/// Matching is iterative with one remembered star, O(pattern × text), so no pattern takes exponential time. A client's
/// pattern has a limit all the same.
package struct GlobPattern: Sendable {
    /// Patterns of a request may have so many bytes together.
    package static let maximumBytes = 1_024

    private let pattern: [UInt8]

    private let caseSensitive: Bool

    package init(_ pattern: some Sequence<UInt8>, caseSensitive: Bool = false) {
        self.caseSensitive = caseSensitive
        self.pattern = caseSensitive ? Array(pattern) : pattern.map(\.lowercasedASCII)
    }

    package func matches(_ text: String) -> Bool {
        let text = self.caseSensitive ? Array(text.utf8) : text.utf8.map(\.lowercasedASCII)
        var p = 0
        var t = 0
        var star: (pattern: Int, text: Int)?
        while t < text.count {
            if p < self.pattern.count, self.pattern[p] == UInt8(ascii: "*") {
                star = (p + 1, t)
                p += 1
            } else if let next = self.matchOne(at: p, text[t]) {
                p = next
                t += 1
            } else if let (afterStar, from) = star {
                star = (afterStar, from + 1)
                p = afterStar
                t = from + 1
            } else {
                return false
            }
        }
        while p < self.pattern.count, self.pattern[p] == UInt8(ascii: "*") { p += 1 }
        return p == self.pattern.count
    }

    /// Returns the position after the element at `p` if it matches `byte`.
    private func matchOne(at p: Int, _ byte: UInt8) -> Int? {
        guard p < self.pattern.count else { return nil }
        switch self.pattern[p] {
        case UInt8(ascii: "?"):
            return p + 1
        case UInt8(ascii: "\\") where p + 1 < self.pattern.count:
            return self.pattern[p + 1] == byte ? p + 2 : nil
        case UInt8(ascii: "["):
            return self.matchClass(at: p + 1, byte)
        default:
            return self.pattern[p] == byte ? p + 1 : nil
        }
    }

    private func matchClass(at start: Int, _ byte: UInt8) -> Int? {
        var p = start
        let negated = p < self.pattern.count && self.pattern[p] == UInt8(ascii: "^")
        if negated { p += 1 }
        var found = false
        while p < self.pattern.count, self.pattern[p] != UInt8(ascii: "]") {
            if p + 2 < self.pattern.count, self.pattern[p + 1] == UInt8(ascii: "-") {
                let (low, high) = (self.pattern[p], self.pattern[p + 2])
                if min(low, high) <= byte, byte <= max(low, high) { found = true }
                p += 3
            } else {
                if self.pattern[p] == byte { found = true }
                p += 1
            }
        }
        guard found != negated else { return nil }
        return min(p + 1, self.pattern.count)
    }
}
