import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// Which column is what, where the file does not say it.
@Suite struct ColumnTests {
    private func read(_ text: String, _ column: String? = nil) throws -> ReadFile {
        let folder = try TemporaryFolder()
        let rules = FactorRules(idColumn: try column.map { try IdColumn(parsing: $0) })
        return try ReadFile(try folder.write("x.csv", text), rules)
    }

    /// Whole numbers that differ in the first column only: ids, or a component.
    @Test(arguments: [
        "1000,0.34,0.82\n1001,0.5,0.1\n1002,0.25,1\n", "7,1,0\n8,1,1\n9,0,1\n",
        "16777217,0.5\n16777218,0.25\n16777219,1\n",
        "7.0,0.5\n8.0,0.25\n", "title,f0\n7,0.5\n8,0.25\n", "-1,0.5\n-2,0.5\n",
    ])
    func aFirstColumnThatMayBeIDs(_ text: String) throws {
        let error = #expect(throws: AnnexError.self) { try self.read(text) }
        #expect(error?.code == .badInput && error?.message.contains("may hold ids or components") == true)
        #expect(error?.hint?.contains("--id-column 1 for ids, --id-column none") == true)
        // Each of the three ways out.
        let rows = text.split(separator: "\n").drop { $0.hasPrefix("title") }.map { $0.split(separator: ",") }
        let asIDs = try self.read(text, "1")
        #expect(
            asIDs.ids == rows.map { String($0[0]) }
                && asIDs.rows == rows.map { $0.dropFirst().compactMap { Float($0) } }
        )
        let asComponents = try self.read(text, "none")
        #expect(asComponents.ids == [] && asComponents.rows == rows.map { $0.compactMap { Float($0) } })
        let heading = "id," + rows[0].indices.dropFirst().map { "f\($0)" }.joined(separator: ",") + "\n"
        let bare = rows.map { $0.joined(separator: ",") + "\n" }.joined()
        #expect(try self.read(heading + bare).ids == asIDs.ids)
    }

    /// What is sure: text, headings that number their columns, other columns like the first, one column alone.
    @Test func columnsThatSayIt() throws {
        #expect(try self.read("a,0.5\nb,0.25\n").ids == ["a", "b"])
        #expect(try self.read("f0,f1\n7,0.5\n8,0.25\n").rows == [[7, 0.5], [8, 0.25]])
        #expect(try self.read("0,1,2\n7,0.5,1\n8,0.25,1\n").rows.count == 2)
        #expect(try self.read("7,1\n8,2\n").rows == [[7, 1], [8, 2]])
        #expect(try self.read("7\n8\n").rows == [[7], [8]])
        #expect(try self.read("7,0.5\n7,0.25\n").rows.count == 2)
        #expect(try self.read("title,f0\nAlien,0.5\nHeat,0.25\n").ids == ["Alien", "Heat"])
    }

    @Test func theColumnIsSaid() throws {
        let text = "f0,movie_id,f1\n1,a,2\n3,b,4\n"
        for column in ["2", "movie_id"] {
            let file = try self.read(text, column)
            #expect(file.ids == ["a", "b"] && file.rows == [[1, 2], [3, 4]])
        }
        let error = #expect(throws: AnnexError.self) { try self.read("f0,movie_id,f1\n1,a,2\n1,b,x\n", "2") }
        #expect(error?.location?.hasSuffix("x.csv:3:3") == true)
        let missing = #expect(throws: AnnexError.self) { try self.read(text, "movie") }
        #expect(missing?.code == .usage && missing?.hint?.contains("f0, movie_id, f1") == true)
        #expect(#expect(throws: AnnexError.self) { try self.read("1,a\n", "movie") }?.hint?.contains("number") == true)
        #expect(#expect(throws: AnnexError.self) { try self.read(text, "4") }?.message.contains("no column 4") == true)
        for wrong in ["0", "-1", "", "9999999"] { #expect(throws: AnnexError.self) { try IdColumn(parsing: wrong) } }
    }

    /// pandas' index before the ids, ids behind the factors, and two columns of ids; each with what the advice makes of it.
    @Test(
        arguments: [
            (",item_id,f0\n0,a,1\n1,b,2\n", "index=False", "item_id,f0\na,1\nb,2\n", nil),
            ("f0,f1,item_id\n1,2,7\n3,4,8\n", "--id-column 3", "f0,f1,item_id\n1,2,7\n3,4,8\n", "3"),
            ("id,f0,user_id\n7,1,2\n8,3,4\n", "all but one", "id,f0\n7,1\n8,3\n", nil),
        ] as [(String, String, String, String?)]
    )
    func severalColumnsOfIDs(_ text: String, _ advice: String, _ mended: String, _ column: String?) throws {
        let error = #expect(throws: AnnexError.self) { try self.read(text) }
        #expect(error?.hint?.contains(advice) == true, "\(String(describing: error))")
        #expect(try self.read(mended, column).ids.count == 2)
    }

    // MARK: Interactions

    private func events(_ text: String, _ columns: String? = nil, name: String = "e.csv") throws -> [String] {
        let folder = try TemporaryFolder()
        let path = try folder.write(name, text)
        let lines = try EventLines(path, format: nil, columns: try columns.map { try InteractionColumns(parsing: $0) })
        var said: [String] = []
        while let line = try lines.next() {
            switch line.content {
            case .event(let e): said.append("\(e.user) \(e.item) \(e.weight) \(e.time.map(String.init) ?? "-")")
            case .problem(let reason): said.append("! " + reason)
            case .nothing: said.append("")
            }
        }
        return said
    }

    /// Seconds, milliseconds, with a fraction of zeros, and with the weight behind.
    @Test(arguments: [
        ("a,x,1700000000\n", "time"), ("a,x,1700000000000\n", "time"), ("a,x\nb,y,1.7e12\n", "time"),
        ("a,x,1700000000000,5\n", "time,weight"),
    ])
    func aThirdColumnOfTimes(_ text: String, _ advice: String) throws {
        for (name, line) in [("e.csv", text), ("e.tsv", text.replacingOccurrences(of: ",", with: "\t"))] {
            let error = #expect(throws: AnnexError.self) { try self.events(line, name: name) }
            #expect(error?.message.contains("seems to hold times") == true && error?.location?.hasSuffix(":3") == true)
            #expect(error?.hint?.hasSuffix("--columns user,item,\(advice)") == true)
        }
        guard text.contains("1700000000000") else { return }
        #expect(try self.events(text, "user,item,\(advice)") == ["a x \(advice == "time" ? "1" : "5").0 1700000000000"])
    }

    @Test func columnsAreSaid() throws {
        #expect(try self.events("x,a,9,5\n", "item,user,-,weight") == ["a x 5.0 -"])
        #expect(
            try self.events("movie,who,stars\nx,a,5\n", "item,user,weight") == ["", "a x 5.0 -"],
            "a heading by its word"
        )
        #expect(try self.events("item_id,user_id\nx,a\n", "item,user") == ["", "a x 1.0 -"], "a heading by its names")
        #expect(try self.events("x,a\n", "item,user,weight")[0].contains("said are 3"))
        for wrong in ["user", "user,item,item", "user,item,when", "", "user;item", "user,item,"] {
            let error = #expect(throws: AnnexError.self) { try InteractionColumns(parsing: wrong) }
            #expect(error?.code == .usage && error?.hint?.contains("user,item,time") == true)
        }
        for text in ["user,item", "item,-,user,time,weight", "user,item,-"] {
            #expect(try InteractionColumns(parsing: text).text == text)
        }
    }

    /// Headings in any order; a column that they name and nobody knows is no weight.
    @Test func headings() throws {
        #expect(try self.events("item_id,user_id,rating\nx,a,5\n") == ["", "a x 5.0 -"])
        #expect(try self.events("timestamp,user,item\n7,a,x\n") == ["", "a x 1.0 7"])
        #expect(try self.events("user,item,rating,timestamp\na,x,5,7\n") == ["", "a x 5.0 7"])
        let error = #expect(throws: AnnexError.self) { try self.events("user,item,price\na,x,5\n") }
        #expect(error?.message.contains("'price'") == true && error?.hint?.hasSuffix("--columns user,item,-") == true)
        #expect(try self.events("user,item,price\na,x,5\n", "user,item,-") == ["", "a x 1.0 -"])
    }

    /// All times in another unit: nothing is sent. Some: those lines are problems.
    @Test(arguments: [
        ("1700000001", "seconds"), ("1700000001000000", "microseconds"), ("1700000001000000000", "nanoseconds"),
    ])
    func unitsOfTime(_ time: String, _ unit: String) throws {
        for text in ["a,x,1,\(time)\n", "user,item,time\na,x,\(time)\nb,x,\(time)\n"] {
            let error = #expect(throws: AnnexError.self) { try self.events(text) }
            #expect(error?.message.contains("this seems to be \(unit)") == true, "\(String(describing: error))")
        }
        let json = "{\"user\":\"a\",\"item\":\"x\",\"time\":\(time)}\n"
        #expect(throws: AnnexError.self) { try self.events(json, name: "e.jsonl") }
        let mixed = try self.events("a,x,1,\(time)\na,x,1,1700000001000\na,x,1,5\n")
        #expect(mixed[0].contains(unit) && mixed[1] == "a x 1.0 1700000001000" && mixed[2] == "a x 1.0 5")
    }
}
