import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// CSV, TSV, word2vec's text and JSON lines, row by row.
@Suite struct TextRowTests {
    /// The first row is bad in some way; the others say what rows are.
    @Test(arguments: [
        ("x.csv", "id,a,b\n,1,2\nu,3,4\nv,5,6\n", 2), ("x.csv", "a,1,x,3\nu,3,4\nv,5,6\n", 1),
        ("x.csv", "1,nan\n3,4\n5,6\n", 1), ("x.csv", "\"1,2\n3,4\n5,6\n", 1), ("x.csv", "1,1e39\n3,4\n5,6\n", 1),
        ("x.tsv", "\n1\tinf\n3\t4\n5\t6\n", 2), ("x.vec", "3 2\na 1\nu 3 4\nv 5 6\n", 2),
        ("x.vec", "a 1 z\nu 3 4\nv 5 6\n", 1), ("x.jsonl", "{\n{\"vector\":[3,4]}\n{\"vector\":[5,6]}\n", 1),
        ("x.jsonl", "{\"vector\":[]}\n{\"vector\":[3,4]}\n{\"vector\":[5,6]}\n", 1),
    ])
    func aBadFirstRowIsLeftOut(_ name: String, _ text: String, _ line: Int) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(name, text)
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(error?.code == .badInput && error?.location?.hasPrefix("\(path):\(line)") == true)
        let file = try ReadFile(path, skipBadRows: true)
        #expect(file.rows == [[3, 4], [5, 6]] && file.rejects.map(\.row) == [line])
        #expect(file.numbers == [1, 2] && file.rowsRead == 3)
    }

    @Test func noGoodRowAtAll() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.csv", "1,nan\n2,inf\n")
        let error = #expect(throws: AnnexError.self) { try ReadFile(path, skipBadRows: true) }
        #expect(error?.message.contains("none of 2 rows") == true && error?.location == path)
    }

    /// Headings and blank lines are no rows; rows that are left out are.
    @Test(arguments: [
        ("x.csv", "f0,f1\n\n1,2\n  \n3,x\n\n5,6\n7,8,9\n1,2\n\n"),
        ("x.tsv", "f0\tf1\n\n1\t2\n  \n3\tx\n\n5\t6\n7\t8\t9\n1\t2\n\n"),
        (
            "x.jsonl",
            "\n\n{\"vector\":[1,2]}\n \t\n{\"vector\":[3,true]}\n\n{\"vector\":[5,6]}\n[]\n{\"vector\":[1,2]}\n"
        ),
    ])
    func numbersOfRowsAndLines(_ name: String, _ text: String) throws {
        let folder = try TemporaryFolder()
        let file = try ReadFile(try folder.write(name, text), skipBadRows: true)
        #expect(file.rows == [[1, 2], [5, 6], [1, 2]])
        #expect(file.numbers == [0, 2, 4] && file.lines == [2, 6, 8] && file.rowsRead == 5)
        #expect(file.rejects.map(\.row) == [5, 8])
    }

    @Test(
        arguments: [
            "nan", "NaN", "-nan", "inf", "-inf", "+Inf", "infinity", "-Infinity", "0x1p3", "0x10", "nan(0x1)", "1e999",
            "-4e38", "1e", ".", "+", "1_000", "1,5", "٣", "1e5.0", "--1", "1 2",
        ]
    )
    func spellingsThatAreNoNumbers(_ word: String) throws {
        let folder = try TemporaryFolder()
        for (name, text) in [
            ("x.csv", "1,2,3\n4,5,\"\(word)\"\n"), ("first.csv", "4,5,\"1\"\n1,2,\"\(word)\"\n"),
            ("x.tsv", "1\t2\t3\n4\t5\t\(word)\n"),
        ] {
            let path = try folder.write(name, text)
            let error = #expect(throws: AnnexError.self, "\(name)") { try ReadFile(path) }
            #expect(error?.location == "\(path):2:3")
            #expect(try ReadFile(path, skipBadRows: true).rows.count == 1)
        }
        guard !word.contains(" ") else { return }
        let path = try folder.write("x.vec", "a 1 2\nb 3 \(word)\n")
        #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == "\(path):2:3")
    }

    @Test(arguments: ["nan", "inf", "-infinity", "0x1p3"])
    func aFirstRowWithSuchAWordIsNoHeading(_ word: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.csv", "1,2,\(word)\n3,4,5\n")
        #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == path + ":1:3")
    }

    @Test func numbersOfAnyLength() throws {
        let folder = try TemporaryFolder()
        let zeros = String(repeating: "0", count: 5_000)
        // Just above the middle of 1 and the float32 behind it: digits far back decide.
        let above = "1.000000059604644775390625" + zeros + "1"
        let text = "0.5\(zeros),\(zeros)7,\(above),1.000000059604644775390625\(zeros),1\(zeros)e-5000,.5,5.,+1E+2\n"
        let file = try ReadFile(try folder.write("x.csv", text))
        #expect(file.rows == [[0.5, 7, Float(1).nextUp, 1, 1, 0.5, 5, 100]])
        let json = "{\"vector\":[0.5\(zeros),\(above),1\(zeros)e-5000]}\n"
        #expect(try ReadFile(try folder.write("x.jsonl", json)).rows == [[0.5, Float(1).nextUp, 1]])
    }

    /// What float32 cannot tell from zero is zero; what lies beyond it is refused.
    @Test func numbersAtTheEndsOfFloat32() throws {
        let folder = try TemporaryFolder()
        let least = Float.leastNonzeroMagnitude
        for (text, value) in [
            ("1e-46", 0), ("1e-999", 0), ("0e999", 0), ("1e-99999999999999999999", 0), ("1.4e-45", least),
            ("3.4028234663852886e38", .greatestFiniteMagnitude), ("-1e-50", -0.0),
        ] as [(String, Float)] {
            let row = try ReadFile(try folder.write("x.csv", "a,\(text),1\n")).rows
            let json = try ReadFile(try folder.write("x.jsonl", "{\"vector\":[\(text),1]}\n")).rows
            #expect(row == [[value, 1]] && json == row, "\(text)")
        }
        for text in ["3.5e38", "-3.5e38", "1e99999999999999999999"] {
            let path = try folder.write("x.csv", "a,1,1\nb,1,\(text)\n")
            #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == "\(path):2:3")
        }
    }

    @Test func otherEncodingsAreNamed() throws {
        let folder = try TemporaryFolder()
        let text = "id,a\nx,1\n"
        for (encoding, name) in [
            (String.Encoding.utf16, "UTF-16"), (.utf16LittleEndian, "UTF-16"), (.utf16BigEndian, "UTF-16"),
            (.utf32, "UTF-32"),
        ] {
            let data = try #require(text.data(using: encoding))
            for ending in ["csv", "tsv", "vec", "jsonl", "csv.gz"] {
                let path = try folder.write("x.\(ending)", ending.hasSuffix("gz") ? TestFiles.gzip(data) : data)
                let error = #expect(throws: AnnexError.self) { try ReadFile(path, skipBadRows: true) }
                #expect(error?.message.contains(name) == true && error?.location == path)
            }
            let ids = try folder.write("ids.txt", data)
            let error = #expect(throws: AnnexError.self) { try IdentifierFile.read(ids, skipBadRows: true) }
            #expect(error?.message.contains(name) == true)
            #expect(throws: AnnexError.self) { try AttributeReader(path: ids) }
        }
    }

    @Test func theMarkOfUTF8IsNoText() throws {
        let folder = try TemporaryFolder()
        let mark = "\u{feff}"
        #expect(try ReadFile(try folder.write("x.vec", mark + "a 1 2\n")).ids == ["a"])
        #expect(try ReadFile(try folder.write("x.jsonl", mark + "{\"id\":\"a\",\"vector\":[1]}\n")).ids == ["a"])
        let ids = try folder.write("ids.txt", mark + "a\nb\n")
        #expect(try IdentifierFile.read(ids, skipBadRows: false) == [Identifier("a"), Identifier("b")])
        let attributes = try AttributeReader(path: try folder.write("a.jsonl", mark + "{\"id\":1}\n"))
        #expect(try attributes.next()?.identifier == Identifier("1"))
    }
}
