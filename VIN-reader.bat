@echo off
rem Reads a folder of card images and opens the page on which a person checks them: by double click,
rem or with a folder dropped on this file. The first start makes the environment in .venv.
setlocal
chcp 65001 >nul
cd /d "%~dp0"
set PYTHONNOUSERSITE=1
set "PY=.venv\Scripts\python.exe"

if exist ".venv\ready.txt" goto choose
set "FOUND="
for %%V in (3.13 3.12 3.11) do if not defined FOUND py -%%V -c "" >nul 2>nul && set "FOUND=py -%%V"
if not defined FOUND python -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" >nul 2>nul && set "FOUND=python"
if not defined FOUND (
  echo Python 3.11, 3.12 or 3.13 is needed: https://www.python.org/downloads/
  echo Потрібен Python 3.11, 3.12 або 3.13: https://www.python.org/downloads/
  goto failed
)
echo The first start prepares the reader; this takes some minutes and needs the internet.
echo Перший запуск готує програму; це триває кілька хвилин і потребує інтернету.
%FOUND% -m venv .venv || goto failed
"%PY%" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-reader.txt || goto failed
echo ready> ".venv\ready.txt"

:choose
set "FOLDER=%~1"
if defined FOLDER goto read
for /f "usebackq delims=" %%F in (`powershell -NoProfile -STA -Command "[Console]::OutputEncoding = [Text.Encoding]::UTF8; Add-Type -AssemblyName System.Windows.Forms; $d = New-Object System.Windows.Forms.FolderBrowserDialog; $d.Description = 'VIN'; if ($d.ShowDialog() -eq 'OK') { $d.SelectedPath }"`) do set "FOLDER=%%F"
if not defined FOLDER exit /b 0

:read
rem The tables lie beside the folder, in a folder of their own.
if "%FOLDER:~-1%"=="\" set "FOLDER=%FOLDER:~0,-1%"
set "RESULTS=%FOLDER% VIN"
"%PY%" stages\predict.py "%FOLDER%" --output "%RESULTS%\predictions.csv"
if errorlevel 2 goto failed
if exist "%RESULTS%\review.html" start "" "%RESULTS%\review.html"
start "" "%RESULTS%"
pause
exit /b 0

:failed
echo.
echo It did not work; the lines above say why. Не вдалося; причину названо вище.
pause
exit /b 2
