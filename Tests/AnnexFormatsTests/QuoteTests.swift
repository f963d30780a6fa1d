import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// Quotes in fields, as Python's csv module reads them: the expected ids are what `csv.reader` (dialects `excel` and
/// `excel-tab`, Python 3.11) makes of these lines.
@Suite struct QuoteTests {
    /// The first field as it stands, where `|` is the separator, and what it means; nil where the line does not end it.
    private static let fields: [(String, String?)] = [
        (#"a "b" 3"#, #"a "b" 3"#), (#"12" disc"#, #"12" disc"#), (#"a""#, #"a""#), (#"a"""b"#, #"a"""b"#),
        (#""a""#, "a"), (#""a b""#, "a b"), (#""a""b""#, #"a"b"#), (#""""""#, #"""#), (#""a"b"#, "ab"),
        (#""a"b"c"#, #"ab"c"#),
        (#""a" "b""#, #"a "b""#), (#" "a""#, #" "a""#), (#""a|b""#, "a|b"), (#""|""""#, #"|""#), (#"a"|"#, nil),
        (#""12" disc"#, "12 disc"), (#"""a"#, "a"), (#""'a'""#, "'a'"), (#""a"#, nil), (#""""#, nil), (#""a"""#, nil),
    ]

    private func line(_ field: String, _ separator: String) -> String {
        field.replacingOccurrences(of: "|", with: separator)
    }

    @Test(arguments: [("x.csv", ","), ("x.tsv", "\t")]) func factors(_ name: String, _ separator: String) throws {
        let folder = try TemporaryFolder()
        for (field, expected) in Self.fields where field != #"a"|"# {
            let row = [self.line(field, separator), "1", "2"].joined(separator: separator)
            let text = row + "\n" + ["z", "3", "4"].joined(separator: separator) + "\n"
            let path = try folder.write(name, text)
            guard let expected, !(separator == "\t" && expected.contains("|")) else {
                // A tab within an id is refused, whoever quotes it.
                let error = #expect(throws: AnnexError.self, "\(field)") { try ReadFile(path) }
                #expect(error?.location?.hasPrefix(path + ":1") == true)
                continue
            }
            #expect(try ReadFile(path).ids == [self.line(expected, separator), "z"], "\(field)")
        }
    }

    @Test(arguments: [("x.csv", ","), ("x.tsv", "\t")]) func interactions(_ name: String, _ separator: String) throws {
        let folder = try TemporaryFolder()
        for (field, expected) in Self.fields where field != #"a"|"# && !field.contains("|") {
            let text =
                ["z", "i"].joined(separator: separator) + "\n"
                + [field, "i", "2"].joined(separator: separator) + "\n"
            let path = try folder.write(name, text)
            let events = try EventLines(path, format: nil)
            guard case .text(let history) = try InteractionFile.open(path, skipBadRows: true) else {
                throw AnnexError(.usage, "no text")
            }
            _ = try events.next()
            _ = try history.next()
            let user = try history.next()?.user.description
            #expect(user == expected, "\(field)")
            guard case .event(let entry) = try events.next()?.content else {
                #expect(expected == nil, "\(field)")
                continue
            }
            #expect(entry.user.description == expected, "\(field)")
        }
    }

    /// The same id stands in a file of ids as it is.
    @Test func idsOfAFileAreNotQuoted() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("ids.txt", "12\" disc\n\"a\"\n")
        #expect(try IdentifierFile.read(path, skipBadRows: false).map(\.?.description) == ["12\" disc", "\"a\""])
    }

    /// The advice of the error: in quotes, with each quote twice.
    @Test func aQuoteThatIsNotClosedSaysHowToWriteIt() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.csv", "z,1,2\n\"hello,1,2\n")
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(error?.location == path + ":2" && error?.hint?.contains("\"\" for each quote") == true)
        #expect(try ReadFile(folder.write("y.csv", "z,1,2\n\"\"\"hello\",1,2\n")).ids == ["z", "\"hello"])
    }

    /// Other separators than the file's name says.
    @Test(arguments: [
        ("x.csv", "id;f0;f1\na;1;2\n", "semicolons"), ("x.csv", "a;0,5;0,3;0,2\n", "semicolons"),
        ("x.csv", "7;0,5\n8;1,5\n", "semicolons"), ("x.csv", "a\t1\t2\nb\t3\t4\n", "tabs"),
        ("x.tsv", "a,1,2\nb,3,4\n", "commas"), ("x.tsv", "a;1;2\n", "semicolons"),
    ])
    func anotherSeparator(_ name: String, _ text: String, _ word: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(name, text)
        let error = #expect(throws: AnnexError.self) { try ReadFile(path, skipBadRows: true) }
        #expect(error?.message.contains("separated by \(word)") == true && error?.location == path)
        for columns in [nil, try InteractionColumns(parsing: "user,item")] {
            let other = #expect(throws: AnnexError.self) {
                try InteractionFile.open(path, skipBadRows: true, columns: columns)
            }
            #expect(other == error)
            #expect(#expect(throws: AnnexError.self) { try EventLines(path, format: nil, columns: columns) } == error)
        }
    }

    /// The advice: ids that hold other separators stand in quotes, or the file is named after its format.
    @Test func idsWithSeparators() throws {
        let folder = try TemporaryFolder()
        #expect(try ReadFile(folder.write("x.csv", "\"a;b;c\",1,2\nd,3,4\n")).ids == ["a;b;c", "d"])
        #expect(try ReadFile(folder.write("y.csv", "a;b,1,2\nc,3,4\n")).ids == ["a;b", "c"], "fewer than commas")
        #expect(try ReadFile(folder.write("x.tsv", "a,b;c\t1\t2\n")).ids == ["a,b;c"])
        #expect(try ReadFile(folder.write("y.tsv", "a\t1\t2\n")).ids == ["a"])
    }
}
