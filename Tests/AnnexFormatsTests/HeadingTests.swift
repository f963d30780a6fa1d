import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Testing

/// What the first line is, and what decides how rows look.
@Suite struct HeadingTests {
    /// Headings as programs write them, over two rows.
    @Test(arguments: [
        ("movieId,f0,f1", true), ("\"Item\",\"a\",\"b\"", true), (" user_id , f0 , f1 ", true),
        (",f0,f1", true), ("\u{feff},f0,f1", true), ("title,f0,f1", false), ("a,b,c", false),
    ])
    func namesOfColumns(_ heading: String, _ hasIDs: Bool) throws {
        let folder = try TemporaryFolder()
        let file = try ReadFile(try folder.write("x.csv", heading + "\n7,1,2\n8,3,4\n"))
        #expect(file.rows == (hasIDs ? [[1, 2], [3, 4]] : [[7, 1, 2], [8, 3, 4]]))
        #expect(file.ids == (hasIDs ? ["7", "8"] : []))
    }

    /// pandas numbers columns that have no names.
    @Test(arguments: [
        ("0,1,2", []), ("id,0,1,2", ["7", "8"]), (",0,1,2", ["7", "8"]),
    ])
    func numbersOfColumns(_ heading: String, _ ids: [String]) throws {
        let folder = try TemporaryFolder()
        let begin = ids.isEmpty ? ["", ""] : ids.map { $0 + "," }
        let file = try ReadFile(
            try folder.write("x.csv", "\(heading)\n\(begin[0])1,2,3\n\(begin[1])4,5,6\n")
        )
        #expect(file.rows == [[1, 2, 3], [4, 5, 6]] && file.ids == ids && file.numbers == [0, 1])
    }

    @Test func twoNumbersAreARow() throws {
        let folder = try TemporaryFolder()
        #expect(try ReadFile(try folder.write("x.csv", "0,1\n2,3\n")).rows == [[0, 1], [2, 3]])
        #expect(try ReadFile(try folder.write("x.csv", "x,0,1,2\ny,3,4,5\n")).ids == ["x", "y"])
        #expect(try ReadFile(try folder.write("x.csv", "kid,0,1\ny,3,4\n")).ids == ["kid", "y"])
    }

    /// A number in front of it says that it is a row, and a bad one.
    @Test(arguments: ["u,1,oops\nv,3,4\nw,5,6\n", "1,oops\n3,4\n5,6\n", "u,1,\nv,3,4\nw,5,6\n"])
    func aBadRowIsNoHeading(_ text: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.csv", text)
        let column = text.hasPrefix("u") ? 3 : 2
        #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == "\(path):1:\(column)")
        let file = try ReadFile(path, skipBadRows: true)
        #expect(file.rows == [[3, 4], [5, 6]] && file.rejects.map(\.row) == [1])
    }

    /// The first row was cut, and is by itself a row like any other.
    @Test(arguments: [
        ("x.csv", "a,1\nb,2,3\nc,4,5\n"), ("x.tsv", "a\t1\nb\t2\t3\nc\t4\t5\n"), ("x.vec", "a 1\nb 2 3\nc 4 5\n"),
        ("x.jsonl", "{\"id\":1,\"vector\":[1]}\n{\"id\":2,\"vector\":[2,3]}\n{\"id\":3,\"vector\":[4,5]}\n"),
        ("x.jsonl", "{\"vector\":[1,2]}\n{\"id\":2,\"vector\":[2,3]}\n{\"id\":3,\"vector\":[4,5]}\n"),
        ("x.csv", "7,1,2\nb,2,3\n8,4,5\nc,4,5\nd,6,7\n"),
    ])
    func mostRowsDecide(_ name: String, _ text: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(name, text)
        guard !text.hasPrefix("7") else {
            // Ids that are numbers, among others.
            #expect(try ReadFile(path).ids == ["7", "b", "8", "c", "d"])
            return
        }
        #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == path + ":1")
        let file = try ReadFile(path, skipBadRows: true)
        #expect(file.rows == [[2, 3], [4, 5]] && file.numbers == [1, 2] && file.rejects.map(\.row) == [1])
    }

    /// Of equally many the first; rows behind the sample decide nothing.
    @Test func whatIsAsked() throws {
        let folder = try TemporaryFolder()
        let tie = try ReadFile(try folder.write("x.csv", "a,1\nb,2,3\n"), skipBadRows: true)
        #expect(tie.rows == [[1]])
        let long = String(repeating: "a,1\n", count: 100) + String(repeating: "b,2,3\n", count: 1_000)
        let path = try folder.write("x.csv", long)
        #expect(try ReadFile(path, skipBadRows: true).rows.count == 100)
        let error = #expect(throws: AnnexError.self) { try ReadFile(path) }
        #expect(error?.location == path + ":101" && error?.message.contains("2 components, most have 1") == true)
    }

    /// More bad lines than are held, and then good ones; every one is noted once.
    @Test func badRowsBeforeTheFirstGoodOneAreNotHeld() throws {
        let folder = try TemporaryFolder()
        let bad = String(repeating: "x,\(String(repeating: "?", count: 1_000)),1\n", count: 3_000)
        let path = try folder.write("x.csv", bad + "a,1,2\n\nb,3,4\n")
        let file = try ReadFile(path, skipBadRows: true)
        #expect(file.rows == [[1, 2], [3, 4]] && file.numbers == [3_000, 3_001] && file.lines == [3_000, 3_002])
        #expect(file.rejects.map(\.row) == Array(1...3_000))
        #expect(#expect(throws: AnnexError.self) { try ReadFile(path) }?.location == path + ":1:2")
        let none = try folder.write("y.csv", bad)
        let error = #expect(throws: AnnexError.self) { try ReadFile(none, skipBadRows: true) }
        #expect(error?.message.contains("none of 3000 rows") == true)
    }
}
