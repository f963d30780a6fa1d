/// Holds the members of one JSON object (RFC 8259), by their places in its text. Values are checked, and not read.
///
/// It is used instead of Foundation's parser because ids must keep all their digits, a name that comes twice must be
/// seen, and NaN must have a place.
struct JSONObject {
    enum Kind { case text, number, list, object, word, notFinite }

    struct Value {
        let kind: Kind
        let range: Range<Int>
    }

    struct Problem: Error, Equatable {
        let reason: String
    }

    /// Objects and lists in one another.
    static let maximumDepth = 512

    let bytes: [UInt8]
    private(set) var members: [(name: [UInt8], value: Value)] = []
    /// Holds the offset of the first NaN, Infinity or -Infinity, which are no JSON, but which Python's json writes.
    let notFinite: Int?

    init(_ bytes: [UInt8]) throws(Problem) {
        self.bytes = bytes
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw Problem(reason: "the line is no JSON object: it is not valid UTF-8")
        }
        var scanner = JSONScanner(bytes[...])
        self.members = try scanner.object()
        self.notFinite = scanner.notFinite
    }

    /// Returns nil where there is none of that name.
    ///
    /// - Throws: where there are several.
    func value(_ name: String) throws(Problem) -> Value? {
        let found = self.members.filter { $0.name.elementsEqual(name.utf8) }
        guard found.count <= 1 else { throw Problem(reason: "'\(name)' comes twice in the JSON object") }
        return found.first?.value
    }

    func text(_ value: Value) -> ArraySlice<UInt8> { self.bytes[value.range] }

    /// Returns the elements of a list.
    func elements(_ list: Value) throws(Problem) -> [Value] {
        var scanner = JSONScanner(self.bytes[list.range])
        return try scanner.list()
    }

    /// Returns text as it is, and a whole number in decimal with all its digits; nil for everything else.
    func identifier(_ value: Value) throws(Problem) -> [UInt8]? {
        switch value.kind {
        case .text:
            var scanner = JSONScanner(self.bytes[value.range])
            return try scanner.string()
        case .number:
            let text = self.text(value)
            if text.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }) {
                return text.elementsEqual("-0".utf8) ? [0x30] : Array(text)
            }
            // 7.0 and 7e0 are 7; from 2⁵³ on float64 no longer says which whole number was written.
            guard let number = Double(Substring(decoding: text, as: UTF8.self)), abs(number) < 0x1p53,
                let whole = Int(exactly: number)
            else { return nil }
            return Array(String(whole).utf8)
        default: return nil
        }
    }
}
