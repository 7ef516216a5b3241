package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// block is a block of commands in a document.
type block struct {
	heading  string // of the section
	commands string
	output   []string // lines that the commands print, in this order; … stands for any text
	skip     string   // why the commands cannot run on the emulator
	printed  string   // what they printed
}

// readBlocks returns the blocks of commands of a document in Markdown: code
// blocks of the language sh. A code block of the language text after one is its
// output. A comment <!-- not rehearsed: REASON --> before one is its skip.
func readBlocks(file string) ([]block, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var blocks []block
	heading, skip, language := "", "", ""
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && language != "":
			language = ""
		case isFence:
			language = fence
			switch {
			case fence == "sh":
				blocks = append(blocks, block{heading: heading, skip: skip})
				skip = ""
			case fence == "":
				return nil, fmt.Errorf("%s:%d: the code block has no language", file, i+1)
			case fence == "text" && len(blocks) == 0:
				return nil, fmt.Errorf("%s:%d: output without commands", file, i+1)
			}
		case language == "sh":
			blocks[len(blocks)-1].commands += line + "\n"
		case language == "text":
			last := &blocks[len(blocks)-1]
			last.output = append(last.output, line)
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		default:
			if reason, ok := strings.CutPrefix(line, "<!-- not rehearsed: "); ok {
				skip = strings.TrimSuffix(reason, " -->")
			}
		}
	}
	return blocks, nil
}

// checkOutput returns an error unless the text contains the lines of the block in
// their order.
func (b block) checkOutput(text string) error {
	for _, line := range b.output {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
		found := regexp.MustCompile(pattern).FindStringIndex(text)
		if found == nil {
			return fmt.Errorf("the commands did not print %q after the lines before it", line)
		}
		text = text[found[1]:]
	}
	return nil
}

// shell runs commands in the copy of the repository. Variables that one block
// sets are set in the next, but for the address of the API, which changes.
type shell struct {
	*emulator
	replace *strings.Replacer // in commands
}

// run runs the commands of a block and returns all that they print. answers are
// the lines that the commands read.
func (s *shell) run(ctx context.Context, commands, answers string) (string, error) {
	variables := filepath.Join(filepath.Dir(s.dir), "variables")
	script := fmt.Sprintf("set -ea; [ ! -e %[1]q ] || . %[1]q\n%[2]sexport -p | grep -v url_of_emulator >%[1]q", variables, s.replace.Replace(commands))
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Env, cmd.Dir, cmd.Stdin = s.env, s.dir, strings.NewReader(answers)
	var output bytes.Buffer
	cmd.Stdout = io.MultiWriter(&output, s.log())
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, output.String())
	}
	return output.String(), nil
}

// log returns the writer of all output of commands.
func (s *shell) log() io.Writer {
	if os.Getenv("VERBOSE") != "" {
		return os.Stderr
	}
	return io.Discard
}
